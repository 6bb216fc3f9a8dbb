//! What goes to the API, and what the gateway makes of what comes back: seen at a recording origin.

use std::sync::Arc;

use todo_tests::{
    client::Client,
    origin::{Origin, Request, ok},
    raw::{Answer, connect_tls, exchange, read_answer, tls_config},
    stack::Gateway,
};

use crate::service::Services;

/// A gateway in front of an origin.
struct Edge {
    gateway: Gateway,
    client: Client,
    origin: Origin,
    _folder: tempfile::TempDir,
}

async fn edge(origin: Origin, extra: &str) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
    let client = gateway.client().unwrap();
    Edge { gateway, client, origin, _folder: folder }
}

impl Edge {
    /// Raw octets on a connection of their own; what the origin received last, and what came back.
    async fn raw(&self, octets: &str) -> (Request, Answer) {
        let config = Arc::new(tls_config(&self.gateway.ca(), &["http/1.1"]).unwrap());
        let mut stream = connect_tls(config, self.gateway.https_port, "localhost").await.unwrap();
        let answer = exchange(&mut stream, octets.as_bytes()).await.unwrap();
        (self.origin.last(), read_answer(&mut answer.as_slice(), false).await.unwrap())
    }
}

pub(crate) async fn the_api_is_told_the_truth_and_nothing_forged(_: &Services) {
    let edge = edge(Origin::plain().await.unwrap(), "").await;
    let forged = [
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=198.51.100.7"),
        ("X-Real-IP", "198.51.100.7"),
        ("X-User-Id", "somebody"),
        ("X-Authenticated-User", "somebody"),
        ("X_User_Id", "somebody"),
        ("X-Original-URL", "/v1/other"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Request-Id", "forged"),
        ("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic x"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("X-Hop", "dropped"),
    ];
    let fields: String = forged.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let head = format!(
        "GET /v1/a%2db?x=%2F&y=a+b HTTP/1.1\r\nHost: localhost:8443\r\nConnection: close, x-hop\r\n{fields}Authorization: Bearer t\r\nX-Kept: yes\r\n\r\n"
    );
    let (received, answer) = edge.raw(&head).await;
    assert_eq!(answer.status, 200);
    assert_eq!(received.line, "GET /v1/a-b?x=%2F&y=a+b HTTP/1.1", "one reading of the path, the query untouched");
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "localhost:8443"),
        ("host", "localhost:8443"),
        ("authorization", "Bearer t"),
        ("x-kept", "yes"),
    ] {
        let values: Vec<_> =
            received.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, [value], "{name}");
    }
    assert_eq!(received.field("x-request-id"), answer.field("x-request-id"), "one name for one request");
    assert!(received.field("traceparent").is_some_and(|trace| !trace.contains("4bf92f3577b34da6a3ce929d0e0e4736")));
    assert!(received.field("via").is_some(), "RFC 9110 7.6.3");
    for (name, value) in forged {
        let name = name.to_lowercase();
        assert_ne!(received.field(&name), Some(value), "{name}");
        let rewritten = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "traceparent"];
        assert!(rewritten.contains(&name.as_str()) || received.field(&name).is_none(), "{name} is there");
    }
}

pub(crate) async fn a_trusted_proxys_word_is_taken(_: &Services) {
    let edge = edge(Origin::plain().await.unwrap(), "[client_address]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let head = format!(
        "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 198.51.100.7\r\nX-Request-Id: from-the-proxy\r\nTraceparent: {trace}\r\n\r\n"
    );
    let (received, answer) = edge.raw(&head).await;
    assert_eq!(received.field("x-forwarded-for"), Some("198.51.100.7"));
    assert_eq!(received.field("x-request-id"), Some("from-the-proxy"));
    assert_eq!(answer.field("x-request-id"), Some("from-the-proxy"));
    let continued = received.field("traceparent").unwrap();
    assert!(
        continued.contains("4bf92f3577b34da6a3ce929d0e0e4736") && continued != trace,
        "the same trace, a span of our own"
    );
}

pub(crate) async fn bodies_arrive_whole_in_both_directions(_: &Services) {
    let echo = Origin::start(async |request: Request| ok(&String::from_utf8_lossy(&request.body))).await.unwrap();
    let edge = edge(echo, "").await;
    let body = "0123456789abcdef".repeat(10_000);
    let answer =
        edge.client.send("POST", "/v1/x", &[("content-type", "text/plain")], Some(body.clone())).await.unwrap();
    assert_eq!((answer.status, answer.text.len()), (200, body.len()));
    assert_eq!(answer.text, body);
    let chunks = format!("8000\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n", "x".repeat(0x8000));
    let (received, answer) = edge
        .raw(&format!(
            "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ))
        .await;
    assert_eq!((received.body.len(), answer.body.len()), (0x8003, 0x8003));
    // The client's head and its expectation: 100 comes first, then the answer.
    let (_, answer) = edge.raw("HEAD /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

pub(crate) async fn answers_that_are_no_http_are_said_to_be_none(_: &Services) {
    let script = Origin::start(async |request: Request| match request.target() {
        "/v1/garbage" => "this is not HTTP\r\n\r\n".to_owned(),
        "/v1/head" => "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/v1/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "/v1/server" => {
            "HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nX-Powered-By: secret\r\nContent-Length: 2\r\n\r\nok".to_owned()
        }
        "/v1/500" => "HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\noops".to_owned(),
        _ => ok("fine"),
    })
    .await
    .unwrap();
    let edge = edge(script, "").await;
    for path in ["/v1/garbage", "/v1/head", "/v1/lengths"] {
        let answer = edge.client.get(path).await;
        answer.expect_problem(502, "upstream_invalid");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
    }
    let answer = edge.client.get("/v1/server").await.expect(200);
    assert!(answer.header("server").is_none() && answer.header("x-powered-by").is_none());
    // The API's own failure is the API's to explain, with our fields on it.
    let answer = edge.client.get("/v1/500").await.expect(500);
    assert_eq!(answer.text, "oops");
    assert!(answer.headers.contains_key("strict-transport-security"));
    edge.client.get("/v1/x").await.expect(200);
}
