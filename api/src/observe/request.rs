//! The outermost layer of the API: gives every request an id and a time limit, and every answer its last form.
//!
//! Everything that a refusal needs from the request stands here: the problem document is written (an [`ApiError`] only
//! travels this far), the cause is logged, the answer is counted, and one line is logged. The line holds the route's
//! template and never the target, because a query can hold what is nobody's business.

use std::time::Instant;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use todo_shared::{
    problem::{CONTENT_TYPE, Code},
    request_id::{self, RequestId},
};
use tokio::time::timeout;

use crate::{problem::ApiError, routes::path, state::AppState};

const REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);

/// The route of a request that matches none.
const NO_ROUTE: &str = "none";

/// The layer, for `axum::middleware::from_fn_with_state`.
pub async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = taken_or_fresh(request.headers());
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(id.clone());

    let answer = timeout(state.request_timeout, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_elapsed| ApiError::overloaded().into_response());

    let code = finish(&mut response, &id);
    if state.readiness.is_draining() {
        // A client that kept the connection could send its next request just as the end of the process closes it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let elapsed = start.elapsed();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let status = response.status();
    state.metrics.answered(method, route, status.as_str(), elapsed);
    if let Some(code) = code {
        state.metrics.refused(code.as_str());
    }
    let microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let (request_id, code) = (id.as_str(), code.map(Code::as_str));
    if is_routine(route, status) {
        tracing::debug!(request_id, method, route, status = status.as_u16(), code, microseconds, "answered");
    } else {
        tracing::info!(request_id, method, route, status = status.as_u16(), code, microseconds, "answered");
    }
    response
}

/// Whether it is a check that found nothing wrong; several gateways make one every few seconds.
fn is_routine(route: &str, status: StatusCode) -> bool {
    matches!(route, path::HEALTH | path::LIVEZ | path::READYZ) && status.is_success()
}

fn taken_or_fresh(headers: &HeaderMap) -> RequestId {
    let inbound = headers.get(&REQUEST_ID).and_then(|value| RequestId::accept(value.as_bytes()));
    inbound.unwrap_or_else(RequestId::fresh)
}

/// The method as a label; a client can invent any number of others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The answer to a request whose handler panicked, for `tower_http::catch_panic`.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::internal(format!("a handler panicked: {}", text.unwrap_or("without a message"))).into_response()
}

/// Writes the id into the answer and, for a refusal, the document. The code of the refusal.
///
/// An answer that says nothing about caches is not to be kept: the account, tokens, a refusal, the state of the process.
fn finish(response: &mut Response, id: &RequestId) -> Option<Code> {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // What the router refuses by itself is a status without a document.
    let error = response.extensions_mut().remove::<ApiError>().or_else(|| match response.status() {
        StatusCode::NOT_FOUND => Some(ApiError::not_found()),
        StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::new(Code::MethodNotAllowed)),
        _ => None,
    })?;
    if let Some(cause) = error.cause() {
        log_cause(&error, cause, id);
    }
    let document = error.problem().to_json(id.as_str());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::CONTENT_LENGTH, document.len().into());
    *response.body_mut() = Body::from(document);
    Some(error.code())
}

fn log_cause(error: &ApiError, cause: &(dyn std::error::Error + Send + Sync), id: &RequestId) {
    let (code, request_id) = (error.code().as_str(), id.as_str());
    let mut causes = cause.to_string();
    let mut next = cause.source();
    while let Some(source) = next {
        causes.push_str(": ");
        causes.push_str(&source.to_string());
        next = source.source();
    }
    if error.code() == Code::Internal {
        tracing::error!(request_id, code, cause = causes, "refused");
    } else {
        tracing::warn!(request_id, code, cause = causes, "refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    #[tokio::test]
    async fn a_refusal_becomes_a_document_with_the_request_id() {
        let mut response = ApiError::not_found().into_response();
        let id = RequestId::accept(b"id-1").expect("valid");
        assert_eq!(finish(&mut response, &id), Some(Code::NotFound));
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(response.headers()[REQUEST_ID], "id-1");
        assert_eq!(body(response).await["request_id"], "id-1");
    }

    #[test]
    fn an_answer_passes_unchanged_but_for_the_id_and_caches() {
        let mut response = (StatusCode::OK, "fine").into_response();
        assert_eq!(finish(&mut response, &RequestId::fresh()), None);
        assert!(response.headers().contains_key(REQUEST_ID));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let mut response = ([(header::CACHE_CONTROL, "max-age=9")], "fine").into_response();
        finish(&mut response, &RequestId::fresh());
        assert_eq!(response.headers()[header::CACHE_CONTROL], "max-age=9");
    }

    #[test]
    fn only_a_check_that_found_nothing_is_routine() {
        assert!(is_routine(path::READYZ, StatusCode::OK));
        assert!(!is_routine(path::READYZ, StatusCode::SERVICE_UNAVAILABLE));
        assert!(!is_routine(path::ME, StatusCode::OK));
    }

    #[test]
    fn ids_are_taken_if_safe_and_made_otherwise() {
        let headers = |value: &'static str| [(REQUEST_ID, HeaderValue::from_static(value))].into_iter().collect();
        assert_eq!(taken_or_fresh(&headers("abc-1")).as_str(), "abc-1");
        assert_ne!(taken_or_fresh(&headers("a b")).as_str(), "a b");
        assert_eq!(taken_or_fresh(&HeaderMap::new()).as_str().len(), 36);
    }
}
