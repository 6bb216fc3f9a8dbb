//! The proxy between a TLS client and an origin of the test's own: what the origin receives, and what the client is told
//! when the origin misbehaves.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "test code stops at the first surprise"
)]

mod harness;
mod messages;
mod origin;

use std::time::Duration;

use harness::Gateway;
use http::StatusCode;
use origin::Origin;

/// The problem code of an answer.
fn code(answer: &harness::Answer) -> String {
    let document: serde_json::Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("no problem document ({error}): {answer:?}"));
    document["code"].as_str().expect("a code").to_owned()
}

const GET: &str = "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n";

#[tokio::test]
async fn the_origin_receives_the_gateways_word_and_not_the_clients() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\nX-Frame-Options: ALLOW\r\n\r\nok")
            .await;
    let gateway = Gateway::before(&origin, "").await;
    let answer = gateway
        .ask(&format!(
            "{}X-Forwarded-For: 203.0.113.9\r\nX-User-Id: 1\r\nX_User_Id: 1\r\nX-Request-Id: forged\r\nTracestate: a=b\r\nForwarded: for=1.2.3.4\r\n\
             Connection: x-hop\r\nX-Hop: 1\r\nTE: trailers\r\nAuthorization: Bearer t\r\nVia: 1.1 other\r\n\r\n",
            GET.replace("/v1/x", "/v1/%78?q=%2f")
        ))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, b"ok");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    assert!(!answer.headers.contains_key("server") && answer.headers.contains_key("strict-transport-security"));
    let head = origin.heads().await.remove(0).to_lowercase();
    let id = answer.headers["x-request-id"].to_str().expect("text").to_owned();
    for line in [
        "get /v1/x?q=%2f http/1.1",
        "host: localhost",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: localhost",
        "authorization: bearer t",
        "via: 1.1 todo-gateway",
        &format!("x-request-id: {id}"),
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in\n{head}");
    }
    for absent in ["203.0.113.9", "x-user-id", "x_user_id", "forged", "tracestate", "forwarded: for", "x-hop", "te: "] {
        assert!(!head.contains(absent), "{absent} in\n{head}");
    }
    assert_eq!(head.matches("traceparent: 00-").count(), 1);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let gateway = Gateway::before(&origin, "client_address.trusted_proxies = [\"127.0.0.0/8\"]").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = format!(
        "{GET}X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nX-Request-Id: theirs\r\ntraceparent: {trace}\r\ntracestate: a=b\r\n\r\n"
    );
    let answer = gateway.ask(&request).await;
    assert_eq!(
        (answer.status, &answer.headers["x-request-id"]),
        (StatusCode::NO_CONTENT, &"theirs".parse().expect("value"))
    );
    let head = origin.heads().await.remove(0).to_lowercase();
    assert!(head.contains("x-forwarded-for: 203.0.113.9\r\n") && head.contains("x-request-id: theirs\r\n"), "{head}");
    assert!(head.contains("tracestate: a=b\r\n"), "{head}");
    assert!(
        head.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-") && !head.contains("00f067aa0ba902b7"),
        "{head}"
    );
}

#[tokio::test]
async fn what_goes_no_further_never_reaches_the_origin() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = Gateway::before(&origin, "").await;
    for (request, expected) in [
        (GET.replace("localhost", "foreign.example"), "host_untrusted"),
        (GET.replace("/v1/x", "https://localhost/nothing"), "not_found"),
        (GET.replace("/v1/x", "/v1/%2e%2e/x"), "request_malformed"),
        (GET.replace("/v1/x", "/nothing"), "not_found"),
        (GET.replace("GET", "PUT"), "method_not_allowed"),
        (GET.replace("GET /v1/x", "OPTIONS *"), "not_implemented"),
        (format!("{}Content-Length: 300000\r\n", GET.replace("GET", "POST")), "body_too_large"),
    ] {
        let answer = gateway.ask(&format!("{request}\r\n")).await;
        assert_eq!(code(&answer), expected, "{request}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        for name in
            ["strict-transport-security", "content-security-policy", "x-request-id", "cross-origin-opener-policy"]
        {
            assert!(answer.headers.contains_key(name), "{name} on {expected}");
        }
        let allow = answer.headers.get("allow").map(|allow| allow.to_str().expect("text"));
        assert_eq!(allow, (expected == "method_not_allowed").then_some("DELETE, GET, HEAD, PATCH, POST"));
    }
    assert_eq!(origin.heads().await, [""; 0]);
}

#[tokio::test]
async fn a_body_is_counted_as_it_comes() {
    let origin = Origin::silent().await;
    let gateway = Gateway::before(&origin, "").await;
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(65_536));
    let request =
        format!("{}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", GET.replace("GET", "POST"), chunk.repeat(5));
    let answer = gateway.ask(&request).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn an_origin_that_misbehaves_is_told_apart() {
    for (answer, expected) in [
        ("garbage\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "upstream_invalid"),
        ("", "upstream_unreachable"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx", "upstream_invalid"),
    ] {
        let origin = Origin::answering(answer).await;
        let gateway = Gateway::before(&origin, "").await;
        let answer = gateway.ask(&format!("{GET}\r\n")).await;
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (502, expected));
    }
    let gone = Origin::answering("").await;
    let gateway = Gateway::before(&gone, "").await;
    drop(gone);
    let answer = gateway.ask(&format!("{GET}\r\n")).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (502, "upstream_unreachable"));
}

#[tokio::test]
async fn an_origin_that_is_late_is_504_and_a_client_that_is_late_is_408() {
    let origin = Origin::silent().await;
    let gateway = Gateway::before(&origin, &harness::route("timeout = \"300ms\"")).await;
    let began = std::time::Instant::now();
    let answer = gateway.ask(&format!("{GET}\r\n")).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (504, "upstream_timeout"));
    assert!(began.elapsed() < Duration::from_secs(3));
    let half = format!("{}Content-Length: 10\r\n\r\nhalf", GET.replace("GET", "POST"));
    let answer = gateway.ask(&half).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn an_answer_that_dribbles_is_cut_at_the_end_of_its_time() {
    let origin = Origin::dribbling().await;
    let gateway = Gateway::before(&origin, &harness::route("timeout = \"300ms\"")).await;
    let answer = gateway.ask(&format!("{GET}\r\n")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!((1..10).contains(&answer.body.len()), "{} octets came", answer.body.len());
    let lines = gateway.access_log();
    assert_eq!((&lines[0]["status"], &lines[0]["reason"]), (&200.into(), &"upstream_timeout".into()));
}

#[tokio::test]
async fn a_body_that_trickles_does_not_stretch_the_routes_time() {
    let origin = Origin::silent().await;
    let gateway = Gateway::before(&origin, &harness::route("timeout = \"300ms\"")).await;
    let head = format!("{}Content-Length: 100000\r\n\r\n", GET.replace("GET", "POST"));
    let answer = tokio::time::timeout(Duration::from_secs(10), gateway.trickle(&head)).await.expect("in time");
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let length = 64 << 20;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "a".repeat(length));
    let origin = Origin::answering(&answer).await;
    let gateway = Gateway::before(&origin, "[connections]\nwrite_timeout = \"300ms\"\n").await;
    gateway.unread(&format!("{GET}\r\n"), "write_timeout").await;
    assert_eq!(gateway.access_log()[0]["reason"], "write_timeout");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_refusal_is_no_fault_of_ours() {
    let origin = Origin::silent().await;
    let gateway = Gateway::before(&origin, "").await;
    gateway.flood(&format!("{}\r\n", GET.replace("/v1/x", "/nothing"))).await;
    let lines = gateway.access_log();
    assert!(lines.len() > 100 && lines.iter().all(|line| line["reason"] == "not_found"), "{:?}", lines.last());
}

#[tokio::test]
async fn the_code_of_the_apis_problem_is_in_the_log() {
    let body = r#"{"code":"token_missing"}"#;
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let origin = Origin::answering(&answer).await;
    let gateway = Gateway::before(&origin, "").await;
    assert_eq!(gateway.ask(&format!("{GET}\r\n")).await.status, StatusCode::UNAUTHORIZED);
    let lines = gateway.access_log();
    assert_eq!(
        (&lines[0]["reason"], &lines[0]["status"], &lines[0]["route"]),
        (&"token_missing".into(), &401.into(), &"api".into())
    );
    assert_eq!((&lines[0]["protocol"], &lines[0]["tls_version"]), (&"http/1.1".into(), &"1.3".into()));
}

#[tokio::test]
async fn over_http2_the_same_holds() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = Gateway::before(&origin, "").await;
    let request = |method: &str, uri: &str, body: usize| {
        let builder = http::Request::builder().method(method).uri(uri).header("content-length", body);
        builder.body(vec![b'a'; body]).expect("request")
    };
    let answer = gateway.ask_http2(request("GET", "https://localhost/v1/%78", 0)).await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, &b"ok"[..]));
    assert!(answer.headers.contains_key("strict-transport-security") && !answer.headers.contains_key("connection"));
    let head = origin.heads().await.remove(0).to_lowercase();
    for line in ["get /v1/x http/1.1", "host: localhost", "via: 2 todo-gateway", "x-forwarded-host: localhost"] {
        assert!(head.lines().any(|found| found == line), "{line} in\n{head}");
    }
    let long = format!("https://localhost/{}", "a".repeat(9000));
    for (uri, method, body, expected) in [
        ("https://foreign.example/v1/x", "GET", 0, "host_untrusted"),
        ("https://localhost/v1//x", "GET", 0, "request_malformed"),
        ("https://localhost/nothing", "GET", 0, "not_found"),
        ("https://localhost/v1/x", "PUT", 0, "method_not_allowed"),
        ("https://localhost/v1/x", "TRACE", 0, "method_not_allowed"),
        ("https://localhost/v1/x", "POST", 400_000, "body_too_large"),
        (&long, "GET", 0, "uri_too_long"),
    ] {
        let answer = gateway.ask_http2(request(method, uri, body)).await;
        assert_eq!(code(&answer), expected, "{method} {uri}");
        assert!(answer.headers.contains_key("content-security-policy"), "{expected}");
    }
    let mut twice = request("POST", "https://localhost/v1/x", 2);
    twice.headers_mut().append("content-length", http::HeaderValue::from_static("2"));
    assert_eq!(code(&gateway.ask_http2(twice).await), "request_malformed");
    let mut many = request("GET", "https://localhost/v1/x", 0);
    for number in 0..101 {
        many.headers_mut().insert(
            http::HeaderName::try_from(format!("x-{number}")).expect("name"),
            http::HeaderValue::from_static("1"),
        );
    }
    assert_eq!(code(&gateway.ask_http2(many).await), "header_too_large");
    let mut large = request("GET", "https://localhost/v1/x", 0);
    large.headers_mut().insert("x-large", http::HeaderValue::from_str(&"a".repeat(40_000)).expect("value"));
    assert_eq!(code(&gateway.ask_http2(large).await), "header_too_large");
    let lines = gateway.access_log();
    assert!(lines.iter().all(|line| line["protocol"] == "h2" && line["kind"] == "request"));
}

#[tokio::test]
async fn an_untrusted_host_can_be_dropped_without_a_word() {
    let origin = Origin::silent().await;
    let gateway = Gateway::before(&origin, "hosts.on_untrusted = \"drop\"").await;
    for request in [GET.replace("localhost", "foreign.example"), GET.replace("/v1/x", "https://foreign.example/v1/x")] {
        assert_eq!(gateway.octets(&format!("{request}\r\n")).await, b"", "{request}");
    }
    let lines = gateway.access_log();
    assert_eq!(lines.iter().map(|line| &line["reason"]).collect::<Vec<_>>(), ["host_dropped", "host_dropped"]);
}

#[tokio::test]
async fn an_answer_of_a_gateway_that_stops_ends_the_connection() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = Gateway::before(&origin, "").await;
    gateway.drain();
    let request = format!("{GET}\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(20), gateway.octets(&request)).await;
    let answer = answer.expect("the connection ends");
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
}
