//! What every request passes, over a database that is not there.

use std::{future::pending, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
    routing::get,
};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{
    auth::{access_token::AccessTokens, password::Passwords},
    observe::{metrics::Metrics, readiness::Readiness},
    state::Parts,
    store::{Settings, open},
};

/// A state over a database that nobody has made.
fn state() -> AppState {
    let metrics = Metrics::new().expect("valid names");
    let url = "sqlite:///nowhere/at/all.sqlite".into();
    let settings = Settings { url, max_connections: 1, statement_timeout: Duration::from_secs(1) };
    AppState::new(Parts {
        store: open(&settings).expect("a store"),
        tokens: AccessTokens::new("https://issuer".into(), "todo".into(), metrics.tokens.clone()),
        passwords: Passwords::new(1, Duration::from_secs(1), metrics.passwords.clone()).expect("randomness"),
        metrics,
        readiness: Readiness::default(),
        request_timeout: Duration::from_secs(10),
        require_if_match: false,
    })
}

async fn ask(router: Router, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    router.oneshot(request).await.expect("infallible")
}

async fn problem(response: Response<Body>) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
    let document: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        (document["request_id"].as_str(), document["status"].as_u64()),
        (Some(id.as_str()), Some(status.into()))
    );
    document
}

#[tokio::test]
async fn a_panic_is_a_500_without_its_message() {
    async fn broken() {
        panic!("SECRET");
    }
    let router = with_layers(Router::new().route("/x", get(broken)), state());
    let document = problem(ask(router, "GET", "/x", &[], "").await).await;
    assert_eq!(document["code"], "internal");
    assert!(!document.to_string().contains("SECRET"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_a_503() {
    let router = with_layers(Router::new().route("/x", get(pending::<StatusCode>)), state());
    let response = ask(router, "GET", "/x", &[], "").await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    assert_eq!(problem(response).await["code"], "overloaded");
}

#[tokio::test]
async fn what_the_router_refuses_is_a_problem() {
    let router = router(state());
    let table = [
        ("GET", "/nothing", "not_found"),
        ("GET", "/v1/sessions/", "not_found"),
        ("GET", "/problems/nothing", "not_found"),
        ("PUT", path::ME, "method_not_allowed"),
        ("BREW", path::ME, "method_not_allowed"),
        ("GET", path::ME, "token_missing"),
        ("GET", path::READYZ, "database_unavailable"),
        ("GET", path::JWKS, "database_unavailable"),
    ];
    for (method, target, code) in table {
        assert_eq!(problem(ask(router.clone(), method, target, &[], "").await).await["code"], code, "{target}");
    }
    let allow = ask(router, "PUT", path::ME, &[], "").await.headers()[header::ALLOW].clone();
    assert_eq!(allow, "GET,HEAD,PATCH,DELETE");
}

#[tokio::test]
async fn without_a_database_credentials_are_not_judged() {
    let body = r#"{"email": "a@example.org", "password": "a plain long sentence"}"#;
    let json = [("content-type", "application/json")];
    let response = ask(router(state()), "POST", path::LOGIN, &json, body).await;
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(problem(response).await["code"], "database_unavailable");
    // Without keys no token can be judged either: it is not the caller's fault.
    let bearer = [("authorization", "Bearer e30.e30.e30")];
    let code = problem(ask(router(state()), "GET", path::ME, &bearer, "").await).await["code"].clone();
    assert_eq!(code, "token_invalid", "not even shaped like one of ours");
}

#[tokio::test]
async fn a_body_is_bounded_typed_and_shaped() {
    let router = router(state());
    let json = ("content-type", "application/json");
    let long = format!("{{\"email\": \"{}\"}}", "x".repeat(LARGEST_BODY));
    let table = [
        (&[][..], "{}", "unsupported_media_type"),
        (&[("content-type", "text/plain")], "{}", "unsupported_media_type"),
        (&[json, ("content-encoding", "gzip")], "{}", "unsupported_media_type"),
        (&[json], "{", "request_malformed"),
        (&[json], "{}", "invalid"),
        (&[json], &long, "body_too_large"),
    ];
    for (headers, body, code) in table {
        let document = problem(ask(router.clone(), "POST", path::REGISTER, headers, body).await).await;
        assert_eq!(document["code"], code, "{headers:?}");
    }
    let weak = r#"{"email": "nobody", "password": "short", "display_name": "a\u0000b"}"#;
    let document = problem(ask(router, "POST", path::REGISTER, &[json], weak).await).await;
    let pointers: Vec<_> =
        document["errors"].as_array().expect("errors").iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/display_name", "/email", "/password"]);
}
