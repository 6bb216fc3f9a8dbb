//! How a body is framed: Content-Length and Transfer-Encoding (RFC 9112 section 6, RFC 9110 section 8.6).

use super::{Case, must, should};

pub(super) fn cases() -> Vec<Case> {
    [lengths(), codings(), both()].concat()
}

fn lengths() -> Vec<Case> {
    let zeros = format!("Content-Length: {}5\r\n", "0".repeat(30));
    vec![
        must("9110 8.6", "length").post("Content-Length: 5\r\n", "hello").answered(&[200]).reaches(&["content-length: 5\r\n", "\r\n\r\nhello"]),
        must("9110 8.6", "length zero").post("Content-Length: 0\r\n", "").answered(&[200]),
        must("9112 6.3", "no length is no body").post("", "").answered(&[200]),
        must("9110 8.6", "length with leading zeros").post("Content-Length: 005\r\n", "hello").answered(&[200]).reaches(&["hello"]),
        must("9110 9.3.1", "body of a GET is a body")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhelloGET /v1/y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answered(&[200, 200])
            .reaches(&["\r\n\r\nhello", "get /v1/y "]),
        should("9112 6.3", "length twice").post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello").refused(400),
        must("9112 6.3", "two lengths").post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello").refused(400),
        should("9112 6.3", "length twice in different letters").post("Content-Length: 5\r\ncontent-length: 5\r\n", "hello").refused(400),
        should("9112 6.3", "list of equal lengths").post("Content-Length: 5, 5\r\n", "hello").refused(400),
        must("9112 6.3", "list of lengths").post("Content-Length: 5, 6\r\n", "hello").refused(400),
        must("9112 6.3", "length with a comma behind it").post("Content-Length: 5,\r\n", "hello").refused(400),
        must("9112 6.3", "length with a plus").post("Content-Length: +5\r\n", "hello").refused(400),
        must("9112 6.3", "length with a minus").post("Content-Length: -5\r\n", "hello").refused(400),
        must("9112 6.3", "negative zero").post("Content-Length: -0\r\n", "").refused(400),
        must("9112 6.3", "length in hexadecimal").post("Content-Length: 0x5\r\n", "hello").refused(400),
        must("9112 6.3", "length with a fraction").post("Content-Length: 5.0\r\n", "hello").refused(400),
        must("9112 6.3", "length with an exponent").post("Content-Length: 5e0\r\n", "hello").refused(400),
        must("9112 6.3", "length with a space in it").post("Content-Length: 1 5\r\n", "hello").refused(400),
        must("9112 6.3", "length with an underscore").post("Content-Length: 0_5\r\n", "hello").refused(400),
        must("9112 6.3", "empty length").post("Content-Length:\r\n", "hello").refused(400),
        must("9112 6.3", "length in quotes").post("Content-Length: \"5\"\r\n", "hello").refused(400),
        must("9112 6.3", "length that is no number").post("Content-Length: five\r\n", "hello").refused(400),
        must("9112 6.3", "length in digits of another script").post("Content-Length: \u{665}\r\n", "hello").refused(400),
        must("9112 6.3", "length with NUL behind it").post("Content-Length: 5\0\r\n", "hello").refused(400),
        must("9112 6.3", "length of 2^64").post("Content-Length: 18446744073709551616\r\n", "hello").refused(400),
        must("9112 6.3", "length of 2^64 + 5").post("Content-Length: 18446744073709551621\r\n", "hello").refused(400),
        should("9112 6.3", "length of 2^63 - 1").post("Content-Length: 9223372036854775807\r\n", "hello").refused(400),
        should("9112 6.3", "length with thirty leading zeros").post(&zeros, "hello").refused(400),
        should("9110 15.5.14", "length beyond the route's").post("Content-Length: 999999\r\n", "hello").refused(413),
        must("9110 8.6", "length on HTTP/1.0")
            .send("POST /v1/x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
            .answered(&[200])
            .reaches(&["\r\n\r\nhello"]),
    ]
}

fn codings() -> Vec<Case> {
    let te = |case: Case, value: &str| case.post(&format!("Transfer-Encoding: {value}\r\n"), "5\r\nhello\r\n0\r\n\r\n");
    vec![
        te(must("9112 6.1", "chunked"), "chunked").answered(&[200]).reaches(&["hello"]),
        te(must("9112 7", "chunked in capitals"), "CHUNKED").answered(&[200]).reaches(&["hello"]),
        te(must("9112 6.1", "coding that nobody knows, then chunked"), "x-new, chunked").refused(501),
        te(must("9112 6.1", "gzip, then chunked"), "gzip, chunked").refused(501),
        te(must("9112 6.3", "chunked is not the last coding"), "chunked, gzip").refused(400),
        te(must("9112 6.3", "gzip alone"), "gzip").refused(400),
        te(must("9112 6.1", "chunked twice in one line"), "chunked, chunked").refused(400),
        te(must("9112 6.1", "identity"), "identity").refused(400),
        te(must("9112 6.1", "identity, then chunked"), "identity, chunked").refused(501),
        te(must("9112 6.1", "coding that only begins like chunked"), "chunkedx").refused(400),
        te(must("9112 6.1", "coding that only ends like chunked"), "xchunked").refused(400),
        te(must("9112 7", "chunked with a parameter"), "chunked;q=1").refused(400),
        te(must("9112 6.1", "chunked in quotes"), "\"chunked\"").refused(400),
        te(must("9112 6.1", "no coding"), "").refused(400),
        te(must("9112 6.1", "comma before chunked"), ",chunked").refused(400),
        te(must("9112 6.1", "comma behind chunked"), "chunked,").refused(400),
        te(must("9112 6.1", "NUL behind chunked"), "chunked\0").refused(400),
        te(must("9112 6.1", "space in chunked"), "chun ked").refused(400),
        must("9112 6.1", "Transfer-Encoding twice")
            .post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("9112 6.1", "codings in two lines")
            .post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("9112 6.1", "chunked, then identity in another line")
            .post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n")
            .refused(400),
        must("9112 6.1", "chunked on HTTP/1.0")
            .send("POST /v1/x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .refused(400),
        should("9112 6.1", "name with an underscore is another field and goes no further")
            .post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello")
            .answered(&[200])
            .keeps(&["transfer_encoding"]),
    ]
}

fn both() -> Vec<Case> {
    vec![
        must("9112 6.1", "length, then chunked")
            .post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\n\r\n")
            .refused(400),
        must("9112 6.1", "chunked, then length").post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n").refused(400),
        must("9112 6.1", "chunked and a length of zero").post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n").refused(400),
        must("9112 6.1", "length and a coding that is none").post("Content-Length: 5\r\nTransfer-Encoding: x\r\n", "hello").refused(400),
        must("9112 6.1", "length and chunked with a tab").post("Content-Length: 5\r\nTransfer-Encoding:\tchunked\r\n", "0\r\n\r\n").refused(400),
        must("9112 6.1", "length and chunked over HTTP/1.0")
            .send("POST /v1/x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        must("9112 6.1", "request hidden behind a length of zero")
            .send("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .refused(400)
            .keeps(&["smuggled"]),
    ]
}
