//! Chunked bodies (RFC 9112 section 7.1, RFC 9110 section 6.5).

use super::{Case, Step, must, should};

pub(super) fn cases() -> Vec<Case> {
    [sizes(), ends(), trailers(), late()].concat()
}

fn sizes() -> Vec<Case> {
    let endless = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(10_000));
    let many = format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(500));
    let large = format!("{}0\r\n\r\n", format!("1000\r\n{}\r\n", "a".repeat(4096)).repeat(20));
    vec![
        must("9112 7.1", "one chunk").chunked("5\r\nhello\r\n0\r\n\r\n").answered(&[200]).reaches(&["hello"]),
        must("9112 7.1", "no chunk").chunked("0\r\n\r\n").answered(&[200]),
        must("9112 7.1", "several chunks").chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").answered(&[200]),
        must("9112 7.1", "five hundred chunks").chunked(&many).answered(&[200]),
        must("9112 7.1", "size in capitals")
            .chunked("A\r\n0123456789\r\n0\r\n\r\n")
            .answered(&[200])
            .reaches(&["0123456789"]),
        must("9112 7.1", "size with leading zeros")
            .chunked("0005\r\nhello\r\n000\r\n\r\n")
            .answered(&[200])
            .reaches(&["hello"]),
        must("9112 7.1.1", "extension is ignored and goes no further")
            .chunked("5;secret=1\r\nhello\r\n0\r\n\r\n")
            .answered(&[200])
            .reaches(&["hello"])
            .keeps(&["secret"]),
        must("9112 7.1.1", "extension in quotes")
            .chunked("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")
            .answered(&[200])
            .reaches(&["hello"]),
        must("9112 7.1", "size with a prefix").chunked("0x5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size with a plus").chunked("+5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size with a minus").chunked("-5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size that is no number").chunked("g\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "no size").chunked("\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "extension without a size").chunked(";a=b\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "space before the size").chunked(" 5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "tab before the size").chunked("\t5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "space behind the size").chunked("5 \r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "space in the size").chunked("0 5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "underscore in the size").chunked("0_5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "comma in the size").chunked("0,5\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "NUL behind the size").chunked("5\0\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size of 2^64").chunked("10000000000000000\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size of 2^64 + 5").chunked("10000000000000005\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "size of 2^32 + 5 is not 5")
            .chunked("100000005\r\nhello\r\n0\r\n\r\n")
            .step(Step::HalfClose)
            .answered(&[])
            .requests(0),
        should("9112 7.1.1", "extension that does not end").chunked(&endless).refused(400),
        should("9112 7.1.1", "extension without a name").chunked("5;\r\nhello\r\n0\r\n\r\n").refused(400),
        should("9112 7.1.1", "extension with an open quote").chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1.1", "control character in an extension").chunked("5;a=\u{1}\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1.1", "bare CR in an extension").chunked("5;a\rb\r\nhello\r\n0\r\n\r\n").refused(400),
        should("9112 7.1.1", "bare LF in an extension").chunked("5;a\nb\r\nhello\r\n0\r\n\r\n").refused(400),
        should("9110 15.5.14", "chunks beyond the route's length").chunked(&large).answered(&[413]).requests(0),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        should("9112 2.2", "size that ends with LF alone").chunked("5\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "data that ends with LF alone").chunked("5\r\nhello\n0\r\n\r\n").refused(400),
        must("9112 7.1", "data that ends with CR alone").chunked("5\r\nhello\r0\r\n\r\n").refused(400),
        must("9112 7.1", "data that is longer than its size").chunked("4\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "data that is shorter than its size").chunked("6\r\nhello\r\n0\r\n\r\n").refused(400),
        must("9112 7.1", "data without an end").chunked("5\r\nhello0\r\n\r\n").refused(400),
        must("9112 7.1", "size that ends with CR CR LF").chunked("5\r\r\nhello\r\n0\r\n\r\n").refused(400),
        should("9112 7.1", "last chunk that ends with LF alone").chunked("5\r\nhello\r\n0\n\n").refused(400),
        must("9112 7.1", "last size with a prefix").chunked("5\r\nhello\r\n0x0\r\n\r\n").refused(400),
        must("9112 8", "body that does not end, then the end of the connection")
            .chunked("5\r\nhel")
            .step(Step::HalfClose)
            .answered(&[])
            .requests(0),
        must("9112 8", "body without its last chunk, then the end of the connection")
            .chunked("5\r\nhello\r\n")
            .step(Step::HalfClose)
            .answered(&[])
            .requests(0),
        must("9112 8", "body that is shorter than its length, then the end of the connection")
            .post("Content-Length: 10\r\n", "hello")
            .step(Step::HalfClose)
            .answered(&[])
            .requests(0),
    ]
}

fn trailers() -> Vec<Case> {
    let trailer = |case: Case, line: &str| case.chunked(&format!("5\r\nhello\r\n0\r\n{line}\r\n"));
    let large = format!("X-Sum: {}\r\n", "a".repeat(20_000));
    let many = "X-Sum: 1\r\n".repeat(2000);
    vec![
        trailer(must("9110 6.5", "trailer field"), "X-Sum: 1\r\n").answered(&[200]).reaches(&["hello"]),
        trailer(must("9110 6.5.1", "length as a trailer"), "Content-Length: 5\r\n").refused(400),
        trailer(must("9110 6.5.1", "coding as a trailer"), "Transfer-Encoding: chunked\r\n").refused(400),
        trailer(must("9110 6.5.1", "Host as a trailer"), "Host: evil.example\r\n").refused(400),
        trailer(must("9110 6.5.1", "Authorization as a trailer"), "Authorization: Bearer x\r\n").refused(400),
        trailer(must("9110 6.5.1", "Cookie as a trailer"), "Cookie: a=b\r\n").refused(400),
        trailer(must("9110 6.5.1", "Content-Type as a trailer"), "Content-Type: text/html\r\n").refused(400),
        trailer(must("9110 6.5.1", "Content-Encoding as a trailer"), "Content-Encoding: gzip\r\n").refused(400),
        trailer(must("9110 6.5.1", "If-Match as a trailer"), "If-Match: *\r\n").refused(400),
        trailer(must("9110 6.5.1", "X-Forwarded-For as a trailer"), "X-Forwarded-For: 1.2.3.4\r\n").refused(400),
        trailer(must("9112 5.1", "space before a trailer's colon"), "X-Sum : 1\r\n").refused(400),
        trailer(must("9112 5.2", "folded trailer"), "X-Sum: 1\r\n 2\r\n").refused(400),
        trailer(must("9110 5.5", "NUL in a trailer"), "X-Sum: \0\r\n").refused(400),
        trailer(must("9112 5", "trailer without a colon"), "nonsense\r\n").refused(400),
        trailer(should("9112 2.2", "trailer that ends with LF alone"), "X-Sum: 1\n").refused(400),
        trailer(should("9112 7.1.2", "trailer that is too large"), &large).answered(&[400]).requests(0),
        trailer(should("9112 7.1.2", "trailers that do not end"), &many).answered(&[400]).requests(0),
    ]
}

/// What is wrong comes after the origin has the head: the request never becomes whole there.
fn late() -> Vec<Case> {
    let head = "POST /v1/late HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let late = |case: Case, octets: &str| {
        case.send(head).step(Step::UntilOriginSaw("/v1/late")).send(octets).answered(&[400]).requests(0)
    };
    vec![
        late(must("9112 7.1", "bad size after the head has passed"), "-1\r\npoison\r\n0\r\n\r\n").keeps(&["poison"]),
        late(must("9112 7.1", "bad end of data after the head has passed"), "3\r\nabcpoison\r\n0\r\n\r\n")
            .keeps(&["poison"]),
        late(must("9110 6.5.1", "forbidden trailer after the head has passed"), "0\r\nHost: poison\r\n\r\n")
            .keeps(&["poison"]),
        must("9112 7.1", "body that comes octet by octet")
            .send(head.replace("3\r\nabc\r\n", "Connection: close\r\n\r\n").replacen(
                "\r\n\r\nConnection",
                "\r\nConnection",
                1,
            ))
            .send("3\r")
            .send("\nab")
            .send("c\r\n0")
            .send("\r\n\r\n")
            .answered(&[200])
            .reaches(&["abc"]),
    ]
}
