//! What goes on to the API: fields of one connection end at the gateway, `Via` and `Max-Forwards` are written there, and
//! nobody else speaks in its name (RFC 9110 sections 7.6, 7.8 and 10.1).

use super::{Case, must, should};

pub(super) fn cases() -> Vec<Case> {
    [connection(), gateway()].concat()
}

/// A GET whose `Connection` is this.
fn named(case: Case, options: &str, fields: &str) -> Case {
    case.send(format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close, {options}\r\n{fields}\r\n"))
}

fn connection() -> Vec<Case> {
    vec![
        named(must("9110 7.6.1", "field that Connection names"), "X-Hop", "X-Hop: 1\r\nX-Kept: 1\r\n")
            .answered(&[200])
            .reaches(&["x-kept: 1"])
            .keeps(&["x-hop"]),
        named(must("9110 7.6.1", "field that Connection names in other letters"), "x-hOP", "X-Hop: 1\r\n").answered(&[200]).keeps(&["x-hop"]),
        must("9110 7.6.1", "fields that two Connections name")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: X-One\r\nConnection: X-Two, close\r\nX-One: 1\r\nX-Two: 2\r\n\r\n")
            .answered(&[200])
            .keeps(&["x-one", "x-two"]),
        must("9110 7.6.1", "Keep-Alive").get("Keep-Alive: timeout=5\r\n").answered(&[200]).keeps(&["keep-alive: timeout"]),
        must("9110 7.6.1", "Proxy-Connection").get("Proxy-Connection: keep-alive\r\n").answered(&[200]).keeps(&["proxy-connection"]),
        must("9110 11.7.2", "Proxy-Authorization").get("Proxy-Authorization: Basic eDp5\r\n").answered(&[200]).keeps(&["proxy-authorization"]),
        must("9110 10.1.4", "TE").get("TE: trailers\r\n").answered(&[200]).keeps(&["\r\nte: "]),
        must("9110 6.6.2", "Trailer").get("Trailer: X-Sum\r\n").answered(&[200]).keeps(&["\r\ntrailer: "]),
        must("9110 7.6.1", "empty elements in Connection")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: , close ,,\r\n\r\n")
            .answered(&[200]),
        must("9110 7.6.1", "Connection that names Host").get("Connection: Host\r\n").refused(400),
        must("9110 7.6.1", "Connection that names Content-Length").post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello").refused(400),
        must("9110 7.6.1", "Connection that names Transfer-Encoding")
            .post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("9110 7.6.1", "Connection that names Authorization").get("Connection: Authorization\r\nAuthorization: Bearer x\r\n").refused(400),
        must("9110 7.6.1", "Connection that names Cookie").get("Connection: cookie\r\nCookie: a=b\r\n").refused(400),
        must("9110 7.6.1", "Connection that names Cache-Control").get("Connection: cache-control\r\n").refused(400),
        must("9110 7.6.1", "Connection that names X-Forwarded-For").get("Connection: X-Forwarded-For\r\n").refused(400),
        must("9110 7.6.1", "Connection that names Content-Type").post("Connection: content-type\r\nContent-Length: 0\r\n", "").refused(400),
        must("9110 7.6.1", "Connection that is no list of names").get("Connection: a b\r\n").refused(400),
        must("9110 7.6.1", "Connection with a parameter").get("Connection: close;x=y\r\n").refused(400),
        must("9110 7.8", "upgrade to a protocol that is not spoken")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            .answered(&[200])
            .keeps(&["\r\nupgrade", "connection: upgrade"]),
        should("9113 3.1", "upgrade to h2c")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
            .refused(501),
        should("9113 3.1", "upgrade to h2c among others").get("Upgrade: websocket, h2c\r\n").refused(501),
        should("9113 3.1", "upgrade to h2c that Connection does not name").get("Upgrade: H2C\r\n").refused(501),
        must("9110 7.8", "upgrade over HTTP/1.0")
            .send("GET /v1/x HTTP/1.0\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .answered(&[200])
            .keeps(&["\r\nupgrade"]),
    ]
}

fn gateway() -> Vec<Case> {
    let options = |case: Case, left: &str| {
        case.send(format!(
            "OPTIONS /v1/x HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: {left}\r\nConnection: close\r\n\r\n"
        ))
    };
    vec![
        must("9110 7.6.3", "Via is written").get("").answered(&[200]).reaches(&["via: 1.1 todo-gateway\r\n"]),
        must("9110 7.6.3", "Via is added to")
            .get("Via: 1.0 other\r\n")
            .answered(&[200])
            .reaches(&["via: 1.0 other", "1.1 todo-gateway"]),
        must("9110 7.6.3", "Via tells HTTP/1.0")
            .send("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .answered(&[200])
            .reaches(&["1.0 todo-gateway"]),
        options(must("9110 7.6.2", "Max-Forwards is counted down"), "5")
            .answered(&[200])
            .reaches(&["max-forwards: 4\r\n"]),
        options(must("9110 7.6.2", "Max-Forwards of nothing goes no further"), "0").refused(501),
        options(must("9110 7.6.2", "Max-Forwards that is no number is no limit"), "x").answered(&[200]),
        must("9110 7.6.2", "Max-Forwards of a GET is left alone").get("Max-Forwards: 0\r\n").answered(&[200]),
        should("9110 17.1", "X-Forwarded-For of a stranger")
            .get("X-Forwarded-For: 203.0.113.9\r\n")
            .answered(&[200])
            .keeps(&["203.0.113.9"]),
        should("7239 8.1", "Forwarded of a stranger")
            .get("Forwarded: for=203.0.113.9\r\n")
            .answered(&[200])
            .keeps(&["203.0.113.9"]),
        should("9110 17.1", "X-Forwarded-For with an underscore")
            .get("X_Forwarded_For: 203.0.113.9\r\n")
            .answered(&[200])
            .keeps(&["203.0.113.9"]),
        must("9110 10.1.1", "Expect from HTTP/1.0 is ignored")
            .send("POST /v1/x HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            .answered(&[200])
            .keeps(&["\r\nexpect"])
            .hides(&["http/1.1 100"]),
        must("9110 9.3.7", "OPTIONS of a path is passed on")
            .line("OPTIONS /v1/x HTTP/1.1")
            .answered(&[200])
            .reaches(&["options /v1/x http/1.1"]),
    ]
}
