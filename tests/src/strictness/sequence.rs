//! Several messages on one connection: pipelining, expectations, early answers, HEAD (RFC 9112 section 9, RFC 9110
//! sections 9.3.2 and 10.1.1).

use super::{Case, Step, must, should};

const NEXT: &str = "GET /v1/next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    [pipelined(), expectations(), early(), bodiless()].concat()
}

fn pipelined() -> Vec<Case> {
    let get = |path: &str| format!("GET /v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    vec![
        must("9112 9.3.2", "pipelined requests")
            .send([get("a"), get("b"), get("c"), NEXT.to_owned()].concat())
            .answered(&[200, 200, 200, 200])
            .reaches(&["get /v1/a ", "get /v1/b ", "get /v1/c ", "get /v1/next "]),
        must("9112 6.3", "body with a length, then another request")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello{NEXT}"))
            .answered(&[200, 200])
            .reaches(&["\r\n\r\nhello", "get /v1/next "]),
        must("9112 7.1", "body in chunks, then another request")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n{NEXT}"))
            .answered(&[200, 200])
            .reaches(&["hello", "get /v1/next "]),
        must("9112 6.3", "body that looks like a request")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}{NEXT}", get("inner").len(), get("inner")))
            .answered(&[200, 200])
            .requests(2),
        must("9112 6.3", "chunk that looks like the last one")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n{NEXT}"))
            .answered(&[200, 200])
            .requests(2),
        must("9112 9.3.2", "bad request behind a good one")
            .send(format!("{}GET /v1/b HTTP/1.1\r\nHost : localhost\r\n\r\n{NEXT}", get("a")))
            .answered(&[200, 400])
            .requests(1)
            .keeps(&["/v1/b", "/v1/next"]),
        must("9112 9.6", "request behind one that closes")
            .send(format!("{NEXT}{}", get("lost")))
            .answered(&[200])
            .keeps(&["/v1/lost"]),
        must("9112 9.3", "HTTP/1.0 closes after one answer")
            .send(format!("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n{NEXT}"))
            .answered(&[200])
            .shows(&["connection: close"])
            .keeps(&["/v1/next"]),
        should("9112 9.3", "HTTP/1.0 keeps the connection when asked")
            .send(format!("GET /v1/x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n{NEXT}"))
            .answered(&[200, 200]),
        must("9112 9.3", "close beside keep-alive ends the connection")
            .send(format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, close\r\n\r\n{NEXT}"))
            .answered(&[200])
            .keeps(&["/v1/next"]),
        must("9112 9.3", "close behind keep-alive ends the connection")
            .send(format!(
                "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n{NEXT}"
            ))
            .answered(&[200])
            .keeps(&["/v1/next"]),
        must("9112 2.2", "empty line between two requests").send(format!("{}\r\n{NEXT}", get("a"))).answered(&[200, 200]),
        must("9112 2.2", "octets behind a body are no part of it")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello!{NEXT}"))
            .answered(&[200, 405])
            .requests(1)
            .keeps(&["hello!"]),
    ]
}

fn expectations() -> Vec<Case> {
    let head = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n";
    let waits = |case: Case, last: &str| {
        case.origin_at_head("HTTP/1.1 100 Continue\r\n\r\n")
            .send(format!("{head}{last}\r\n"))
            .step(Step::UntilSeen("HTTP/1.1 100 Continue\r\n"))
            .send("hello")
    };
    vec![
        waits(must("9110 10.1.1", "100 comes before the body and the answer after it"), "Connection: close\r\n")
            .answered(&[100, 200])
            .reaches(&["expect: 100-continue", "\r\n\r\nhello"]),
        waits(should("9112 9.3", "connection goes on after an expectation that was met"), "")
            .send(NEXT)
            .answered(&[100, 200, 100, 200])
            .shows(&["connection: keep-alive"])
            .requests(2),
        must("9110 10.1.1", "origin that answers before the body")
            .send(format!("{head}\r\n"))
            .origin_at_head("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
            .step(Step::UntilSeen("417"))
            .answered(&[417])
            .requests(0),
        must("9110 10.1.1", "body that does not wait for 100")
            .origin_at_head("HTTP/1.1 100 Continue\r\n\r\n")
            .send(format!("{head}Connection: close\r\n\r\nhello"))
            .answered(&[100, 200])
            .reaches(&["hello"]),
        must("9110 10.1.1", "expectation without a body is no reason to wait")
            .get("Expect: 100-continue\r\n")
            .answered(&[200]),
        should("9110 10.1.1", "expectation that the gateway refuses by its length")
            .send("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n")
            .refused(413)
            .hides(&["http/1.1 100"]),
    ]
}

fn early() -> Vec<Case> {
    vec![
        should("9112 9.3", "early answer to a body that still comes")
            .send("POST /v1/early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nhello")
            .origin_at_head("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .step(Step::UntilSeen("\r\n\r\nno"))
            .step(Step::HalfClose)
            .answered(&[403])
            .requests(0),
        must("9112 9.3", "what follows a body that was refused is not read as a request")
            .send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n{NEXT}"))
            .refused(413)
            .keeps(&["/v1/next"]),
        must("9112 9.3", "what follows a path that is not served is not mixed up with its body")
            .send(format!("POST //v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{NEXT}", NEXT.len()))
            .refused(400)
            .keeps(&["/v1/next"]),
    ]
}

fn bodiless() -> Vec<Case> {
    let head = "HEAD /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /v1/y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    vec![
        must("9110 9.3.2", "HEAD has no content, and its length")
            .send(head)
            .head()
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            .answered(&[200, 200])
            .shows(&["content-length: 100"]),
        must("9110 9.3.2", "HEAD that the origin gives content")
            .send(head)
            .head()
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            .answered(&[200, 200])
            .hides(&["poison"]),
        must("9110 9.3.2", "HEAD that the origin gives chunks")
            .send(head)
            .head()
            .origin("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n")
            .answered(&[200, 200])
            .hides(&["poison"]),
        must("9110 9.3.2", "HEAD that is refused")
            .send("HEAD /v1/x HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n")
            .head()
            .refused(400)
            .hides(&["\"code\""]),
        must("9110 9.3.2", "HEAD that is not served")
            .send("HEAD //x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .head()
            .refused(400)
            .hides(&["\"code\""]),
    ]
}
