//! The edge: what it refuses, what it strips, what it adds, what it writes down.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use todo_tests::{
    client::Client,
    raw::{Answer, connect_tls, exchange, read_answer, tls_config},
    stack::Stack,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::client::TlsStream;

/// A raw HTTP/1.1 connection to the HTTPS listener.
async fn open(stack: &Stack) -> TlsStream<TcpStream> {
    let config = tls_config(&stack.gateway.ca(), &["http/1.1"]).unwrap();
    connect_tls(Arc::new(config), stack.gateway.https_port, "localhost").await.unwrap()
}

/// One raw request on a connection of its own; the answer, and whether the gateway closed after it.
async fn raw(stack: &Stack, request: &str) -> Answer {
    let octets = exchange(&mut open(stack).await, request.as_bytes()).await.unwrap();
    read_answer(&mut octets.as_slice(), false)
        .await
        .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&octets)))
}

const SECURITY_HEADERS: [&str; 8] = [
    "strict-transport-security",
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
];

pub(crate) async fn security_headers_are_on_every_answer(stack: &Stack) {
    let user = stack.client().register().await;
    let port = stack.gateway.https_port;
    let mut answers = vec![
        ("200", user.client.get("/v1/todos").await.expect(200).headers),
        ("201", user.client.post("/v1/todos", &json!({"title": "a"})).await.expect(201).headers),
        ("401", stack.client().get("/v1/todos").await.expect(401).headers),
        ("404", user.client.get("/nothing").await.expect(404).headers),
        ("405", user.client.call("PUT", "/v1/todos", &[], None).await.expect(405).headers),
        ("421", Client::misdirected("foreign.example", port).unwrap().get("/").await.expect(421).headers),
        ("docs", stack.client().get("/docs").await.expect(200).headers),
    ];
    let todo = user.todo("b").await;
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap());
    answers.push(("304", user.client.call("GET", &path, &[("if-none-match", "*")], None).await.expect(304).headers));
    answers.push(("204", user.client.delete(&path).await.expect(204).headers));
    for (name, headers) in &answers {
        for field in SECURITY_HEADERS {
            assert!(headers.contains_key(field), "{field} on {name}");
        }
        for field in ["server", "x-powered-by", "via-internal"] {
            assert!(!headers.contains_key(field), "{field} on {name}");
        }
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers.contains_key("x-request-id"), "{name}");
    }
    // Refused before there is a session: written as raw octets, with the same fields.
    let malformed = raw(stack, "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n").await;
    let redirect = Client::http(stack.gateway.http_port)
        .unwrap()
        .send("GET", "/", &[("host", &format!("localhost:{port}"))], None)
        .await
        .unwrap();
    for field in SECURITY_HEADERS {
        assert!(malformed.field(field).is_some(), "{field} on a raw 400");
        // RFC 6797 7.2 forbids HSTS over plain HTTP.
        assert_eq!(
            redirect.headers.contains_key(field),
            field != "strict-transport-security",
            "{field} on the redirect"
        );
    }
    assert!(malformed.field("server").is_none());
}

pub(crate) async fn the_plain_listener_only_redirects(stack: &Stack) {
    let plain = Client::http(stack.gateway.http_port).unwrap();
    let ports = (stack.gateway.http_port, stack.gateway.https_port);
    for method in ["GET", "POST", "DELETE"] {
        let host = format!("localhost:{}", ports.0);
        let answer = plain.send(method, "/v1/todos?limit=3", &[("host", &host)], None).await.unwrap();
        assert_eq!(answer.status, 308, "{method}");
        assert_eq!(answer.header("location"), Some(format!("https://localhost:{}/v1/todos?limit=3", ports.1).as_str()));
    }
    let foreign = plain.send("GET", "/", &[("host", "evil.example")], None).await.unwrap();
    foreign.expect_problem(421, "host_untrusted");
    assert!(foreign.header("location").is_none());
}

pub(crate) async fn foreign_hosts_are_refused(stack: &Stack) {
    let port = stack.gateway.https_port;
    for host in ["foreign.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.evil.example"] {
        let answer = raw(stack, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (421, &json!("host_untrusted")), "{host}");
    }
    for host in ["localhost", &format!("localhost:{port}"), "LOCALHOST", "127.0.0.1:99", "[::1]"] {
        let answer = raw(stack, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    // The three names of a host must agree.
    let absolute =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(raw(stack, &absolute("https://localhost/", "localhost")).await.status, 200);
    assert!([400, 421].contains(&raw(stack, &absolute("https://localhost/", "127.0.0.1")).await.status));
    assert!([400, 421].contains(&raw(stack, &absolute("https://foreign.example/", "localhost")).await.status));
}

pub(crate) async fn paths_have_one_reading(stack: &Stack) {
    let user = stack.client().register().await;
    let ask = async |target: &str| {
        let token = user.client.token();
        raw(
            stack,
            &format!(
                "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            ),
        )
        .await
    };
    assert_eq!(ask("/v1/todos").await.status, 200);
    assert_eq!(
        ask("/v1/t%6Fdos").await.status,
        200,
        "an escaped unreserved character is that character (RFC 3986 6.2.2.2)"
    );
    for target in [
        "/v1/%2e%2e/v1/todos",
        "/v1/../v1/todos",
        "/v1//todos",
        "//v1/todos",
        "/v1%2Ftodos",
        "/v1%5Ctodos",
        "/v1/todos%00",
        "/v1/./todos",
        "/v1/todos%zz",
        "/v1/todos%",
    ] {
        let answer = ask(target).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("request_malformed")), "{target}");
    }
}

pub(crate) async fn malformed_heads_are_refused_before_the_api(stack: &Stack) {
    for (section, head) in [
        ("9112 3: three parts", "GET /\r\n\r\n"),
        ("9112 3: single spaces", "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("9112 2.3: version", "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"),
        ("9112 3.2: host missing", "GET / HTTP/1.1\r\n\r\n"),
        ("9112 3.2: two hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
        ("9112 5.1: space before colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
        ("9112 5.2: obs-fold", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n"),
        ("9110 5.5: control byte", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\u{1}b\r\n\r\n"),
        ("9112 2.2: bare LF", "GET / HTTP/1.1\nHost: localhost\n\n"),
        ("9112 2.2: bare CR", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n"),
        (
            "9112 6.1: both framings",
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "9112 6.3: two lengths",
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        ),
        ("9112 6.3: signed length", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\na"),
        (
            "9112 7.1: chunk size",
            "POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        ),
        ("9112 3.2: fragment", "GET /#x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("9110 4.2.4: userinfo", "GET http://a@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        let answer = raw(stack, head).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("request_malformed")), "{section}");
        assert_eq!(answer.field("connection"), Some("close"), "{section}");
    }
    let unknown =
        raw(stack, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (501, &json!("not_implemented")));
    let long = raw(stack, &format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(20_000))).await;
    assert_eq!((long.status, &long.json()["code"]), (414, &json!("uri_too_long")));
    let large = raw(stack, &format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(70_000))).await;
    assert_eq!((large.status, &large.json()["code"]), (431, &json!("header_too_large")));
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "localhost:443" } else { "/" };
        let answer = raw(stack, &format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!((answer.status, answer.field("allow").is_some()), (405, true), "{method}");
    }
    let log = eventually("the refusals in the log", Duration::from_secs(10), async || {
        let refused =
            stack.gateway.access_log().into_iter().filter(|line| line["reason"] == "request_malformed").count();
        (refused >= 16).then_some(refused)
    });
    log.await;
}

pub(crate) async fn pipelined_requests_are_answered_in_order(stack: &Stack) {
    let mut stream = open(stack).await;
    let paths = ["/livez", "/nothing", "/.well-known/jwks.json", "/livez"];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    stream.write_all(requests.concat().as_bytes()).await.unwrap();
    let mut statuses = Vec::new();
    for _ in paths {
        statuses.push(read_answer(&mut stream, false).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 404, 200, 200]);
    // A body, then another request in the same octets: the body ends where its length says.
    let body = r#"{"email":"nobody@example.org","password":"not the right sentence"}"#;
    let both = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        body.len()
    );
    stream.write_all(both.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 401);
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
    // Chunked, with an extension and a trailer, then another request.
    let chunked = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{body}\r\n0\r\nX-Trailer: y\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        body.len()
    );
    stream.write_all(chunked.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 401);
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
}

pub(crate) async fn large_bodies_are_refused(stack: &Stack) {
    let user = stack.client().register().await;
    let token = user.client.token();
    // Refused on its announced length, before a single octet of it.
    let announced = format!(
        "POST /v1/todos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    );
    let answer = raw(stack, &announced).await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("body_too_large")));
    // Refused while it comes in chunks.
    let mut stream = open(stack).await;
    let head = format!(
        "POST /v1/todos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(65_536));
    for _ in 0..64 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = read_answer(&mut stream, false).await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("body_too_large")));
}

pub(crate) async fn service_descriptor_and_documents(stack: &Stack) {
    let root = stack.client().get("/").await.expect(200).json();
    for member in ["name", "version", "links"] {
        assert!(!root[member].is_null(), "{member}");
    }
    for path in ["/health", "/livez", "/readyz", "/openapi.json", "/docs"] {
        stack.client().get(path).await.expect(200);
    }
    let docs = stack.client().get("/docs").await;
    assert!(docs.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let outside = docs
        .text
        .split(['"', '\'', '('])
        .filter(|part| part.starts_with("http://") || part.starts_with("https://") || part.starts_with("//"));
    assert_eq!(outside.collect::<Vec<_>>(), [""; 0], "the page loads nothing from another host");
}
