//! Origins that misbehave: what reaches the client of answers that are wrong, late, cut, or of another version.

use super::{Case, Step, must, should};

pub(super) fn cases() -> Vec<Case> {
    [framing(), heads(), interim(), desync()].concat()
}

/// A GET to an origin that says this and closes.
fn says(case: Case, answer: &str) -> Case {
    case.get("").origin(answer).and_closes()
}

#[expect(clippy::too_many_lines, reason = "it is one table")]
fn framing() -> Vec<Case> {
    vec![
        says(must("9110 8.6", "204 with a length"), "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .answered(&[204]),
        says(
            must("9112 6.1", "204 with a coding"),
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .answered(&[204]),
        says(must("9110 15.3.5", "204 with content"), "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison")
            .answered(&[204])
            .hides(&["poison"]),
        says(
            must("9110 15.4.5", "304 with a length"),
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 6\r\n\r\n",
        )
        .answered(&[304])
        .shows(&["etag: \"1\""]),
        says(must("9110 15.4.5", "304 with content"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison")
            .answered(&[304])
            .hides(&["poison"]),
        says(
            must("9112 6.3", "answer with two lengths"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        )
        .answered(&[502])
        .shows(&["upstream_invalid"]),
        says(must("9112 6.3", "answer with a list of lengths"), "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!")
            .answered(&[502]),
        says(
            must("9112 6.3", "answer with the same length twice"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        )
        .answered(&[200]),
        says(
            must("9112 6.3", "answer with a list of the same length"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        )
        .answered(&[200]),
        says(must("9112 6.3", "answer with a signed length"), "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok")
            .answered(&[502]),
        says(
            must("9112 6.3", "answer with a length that is no number"),
            "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        )
        .answered(&[502]),
        says(
            must("9112 6.3", "answer with a length and chunks"),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
        .answered(&[200])
        .shows(&["\r\n2\r\nok\r\n0\r\n\r\n"]),
        says(
            must("9112 6.1", "answer with a coding that is not known"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
        .answered(&[502]),
        says(
            must("9112 6.3", "answer whose last coding is not chunked"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
        .answered(&[502]),
        says(
            must("9112 6.1", "answer in chunks of HTTP/1.0"),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
        .answered(&[502]),
        says(must("9112 6.3", "answer that ends with the connection"), "HTTP/1.1 200 OK\r\n\r\nok until the end")
            .answered(&[200])
            .shows(&["ok until the end"]),
        says(
            must("9112 8", "answer that is shorter than its length"),
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
        )
        .answered(&[200])
        .cut(),
        says(
            must("9112 8", "chunks that do not end"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        )
        .answered(&[200])
        .cut()
        .hides(&["\r\n0\r\n\r\n"]),
        says(
            must("9112 7.1", "chunk size that is no number"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\npoison\r\n0\r\n\r\n",
        )
        .answered(&[200])
        .cut()
        .hides(&["poison", "\r\n0\r\n\r\n"]),
        says(
            must("9112 7.1", "chunk that is longer than its size"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokpoison\r\n0\r\n\r\n",
        )
        .answered(&[200])
        .cut()
        .hides(&["\r\n0\r\n\r\n"]),
        must("9112 6.1", "chunks for a client of HTTP/1.0")
            .send("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .origin("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .answered(&[200])
            .shows(&["connection: close", "\r\n\r\nok"])
            .hides(&["transfer-encoding"]),
        says(
            must("9110 6.5.1", "trailers of an answer"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=b\r\n\r\n",
        )
        .answered(&[200])
        .hides(&["set-cookie"]),
    ]
}

fn heads() -> Vec<Case> {
    let ok = |field: &str| format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 2\r\n\r\nok");
    let large = ok(&format!("X-Large: {}\r\n", "a".repeat(2 << 20)));
    vec![
        says(must("9112 4", "answer that is no HTTP"), "garbage\r\n\r\n")
            .answered(&[502])
            .shows(&["upstream_invalid"])
            .hides(&["garbage"]),
        says(must("9112 4", "answer that is a request"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").answered(&[502]),
        says(must("9112 4", "answer without a status"), "HTTP/1.1\r\n\r\n").answered(&[502]),
        says(must("9112 4", "status with two digits"), "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n").answered(&[502]),
        says(must("9112 4", "status with four digits"), "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")
            .answered(&[502]),
        says(must("9110 15", "status above 599"), "HTTP/1.1 777 What\r\nContent-Length: 0\r\n\r\n").answered(&[502]),
        says(must("9112 4", "no reason phrase"), "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok").answered(&[200]),
        says(must("9112 2.3", "answer of HTTP/1.0"), "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .answered(&[200])
            .shows(&["http/1.1 200"]),
        says(must("9112 2.3", "answer of HTTP/2.0 in letters"), "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .answered(&[502]),
        says(must("9112 5.1", "answer with a space before a colon"), &ok("X-Space : 1\r\n"))
            .answered(&[200])
            .shows(&["x-space: 1"])
            .hides(&["x-space :"]),
        says(must("9112 5.2", "answer with a folded field"), &ok("X-Fold: a\r\n b\r\n"))
            .answered(&[200])
            .hides(&["\r\n b"]),
        says(must("9110 5.5", "answer with NUL in a value"), &ok("X-Nul: a\0b\r\n")).answered(&[502]),
        says(must("9112 2.2", "answer with a bare CR in a value"), &ok("X-Cr: a\rSet-Cookie: b\r\n")).answered(&[502]),
        says(must("9112 5", "answer with a line without a colon"), &ok("nonsense\r\n")).answered(&[502]),
        says(should("6585 5", "answer with a field of two megabytes"), &large).answered(&[502]),
        says(
            must("9110 7.6.1", "fields of the origin's connection"),
            &ok("Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nUpgrade: h2c\r\n"),
        )
        .answered(&[200])
        .hides(&["x-hop", "timeout=9", "h2c"]),
        says(must("9110 7.6.1", "origin whose Connection names the length"), &ok("Connection: content-length\r\n"))
            .answered(&[200])
            .shows(&["content-length: 2"]),
        says(should("9110 10.2.4", "Server of the origin"), &ok("Server: secret/1.0\r\nX-Powered-By: secret\r\n"))
            .answered(&[200])
            .hides(&["secret"]),
        says(must("9112 8", "no answer, then the end of the connection"), "")
            .answered(&[502])
            .shows(&["upstream_unreachable"]),
        says(must("9112 8", "half a head, then the end of the connection"), "HTTP/1.1 200 OK\r\nX-Half: ")
            .answered(&[502]),
    ]
}

fn interim() -> Vec<Case> {
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1000);
    vec![
        says(must("9110 15.2", "interim answer is passed on"), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .answered(&[103, 200]).requests(1).shows(&["link: </a>"]),
        says(must("9110 15.2", "interim answer with a length"), "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .answered(&[103, 200]),
        must("9110 15.2", "interim answer for a client of HTTP/1.0")
            .send("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .origin("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .answered(&[200]),
        says(must("9110 15.2.1", "100 that nobody asked for"), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").answered(&[100, 200]),
        says(must("9110 15.2.2", "101 that nobody asked for"), "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\npoison")
            .answered(&[502]).hides(&["poison", "http/1.1 101"]),
        must("9110 15.2.2", "101 to an upgrade that was not passed on")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            .origin("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\npoison")
            .and_closes()
            .answered(&[502])
            .hides(&["poison", "http/1.1 101"]),
        says(should("9110 15.2", "interim answers without end"), &flood).answered(&FLOOD).hides(&["poison"]),
        says(must("9110 15.2", "interim answer, then the end of the connection"), "HTTP/1.1 103 Early Hints\r\n\r\n").answered(&[103, 502]),
    ]
}

/// As many interim answers as are passed on, then the refusal.
const FLOOD: [u16; 17] = {
    let mut statuses = [103; 17];
    statuses[16] = 502;
    statuses
};

/// What an origin sends beyond its answer is nobody's answer.
fn desync() -> Vec<Case> {
    let two = |case: Case, answer: &str| {
        case.send("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .step(Step::UntilSeen("\r\n\r\n"))
            .send("GET /v1/b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .origin(answer)
    };
    let poison = "HTTP/1.1 203 Poison\r\nContent-Length: 6\r\n\r\npoison";
    vec![
        two(
            must("9112 9.2", "second answer behind the first"),
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}"),
        )
        .answered(&[200, 200])
        .hides(&["poison"]),
        two(must("9112 9.2", "second answer behind 204"), &format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"))
            .answered(&[204, 204])
            .hides(&["poison"]),
        two(
            must("9112 9.2", "second answer behind 304"),
            &format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 49\r\n\r\n{poison}"),
        )
        .answered(&[304, 304])
        .hides(&["poison"]),
        two(
            must("9112 9.2", "second answer behind chunks"),
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{poison}"),
        )
        .answered(&[200, 200])
        .hides(&["poison"]),
    ]
}
