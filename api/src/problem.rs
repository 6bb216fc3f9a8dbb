//! Every refusal of the API, as the error type that handlers return.
//!
//! Which error belongs where: the store has `StoreError`, the domain has field errors, and both become an [`ApiError`]
//! at the handler. What the client reads (the [`Problem`]) and what operators read (the cause) are different fields. The
//! answer's body is not written here: an [`ApiError`] travels as a response extension to the outermost layer, which
//! alone knows the request id, writes the document and logs the cause. So there is one writer of problem documents.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use todo_shared::bearer;
pub use todo_shared::problem::{Code, FieldError, Problem};
use utoipa::ToSchema;

use crate::store::StoreError;

/// What a client is told to wait when the database or the password queue cannot take its request.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A refusal. Cheap to move: everything is behind one pointer.
#[derive(Debug, Clone)]
pub struct ApiError(Arc<Refusal>);

#[derive(Debug)]
struct Refusal {
    problem: Problem,
    retry_after: Option<Duration>,
    /// For the log only.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    fn of(problem: Problem) -> Self {
        Self(Arc::new(Refusal { problem, retry_after: None, cause: None }))
    }

    fn unavailable(code: Code, cause: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(Refusal { problem: Problem::new(code), retry_after: Some(RETRY_AFTER), cause }))
    }

    /// A refusal that needs nothing but its code.
    pub fn new(code: Code) -> Self {
        Self::of(Problem::new(code))
    }

    /// 400: the request cannot be read; `detail` must not contain text from it.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Problem::new(Code::RequestMalformed).detail(detail))
    }

    /// 400: the cursor does not belong to this listing.
    pub fn cursor_invalid() -> Self {
        Self::new(Code::CursorInvalid)
    }

    /// 401: there is no access token.
    pub fn token_missing() -> Self {
        Self::new(Code::TokenMissing)
    }

    /// 401: the access or refresh token is not valid, or its session has ended.
    pub fn token_invalid() -> Self {
        Self::new(Code::TokenInvalid)
    }

    /// 401: address and password do not belong together; never says which is wrong.
    pub fn credentials_invalid() -> Self {
        Self::new(Code::CredentialsInvalid)
    }

    /// 403: the token or the role does not allow it.
    pub fn forbidden() -> Self {
        Self::new(Code::Forbidden)
    }

    /// 404: there is no such thing, or it is somebody else's.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound)
    }

    /// 409, with what is in the way.
    pub fn conflict(detail: &'static str) -> Self {
        Self::of(Problem::new(Code::Conflict).detail(detail))
    }

    /// 412: `If-Match` names another version.
    pub fn precondition_failed() -> Self {
        Self::new(Code::PreconditionFailed)
    }

    /// 422, with every field at fault.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::of(Problem { code: Code::Invalid, detail: None, errors })
    }

    /// 422 for one field. `pointer` is RFC 6901 into the body, or `?name` for a query parameter.
    pub fn invalid_field(pointer: impl Into<String>, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), code, detail: detail.into() }])
    }

    /// 500; the cause goes to the log only.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(Refusal { problem: Problem::new(Code::Internal), retry_after: None, cause: Some(cause.into()) }))
    }

    /// 503: more work than this server takes.
    pub fn overloaded() -> Self {
        Self::unavailable(Code::Overloaded, None)
    }

    /// 503: the database cannot be reached; the cause goes to the log only.
    pub fn database_unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::unavailable(Code::DatabaseUnavailable, Some(cause.into()))
    }

    /// 503: the process does not take work now, for this reason.
    pub fn not_ready(code: Code) -> Self {
        Self::unavailable(code, None)
    }

    /// The why-code.
    pub fn code(&self) -> Code {
        self.0.problem.code
    }

    /// What the client reads.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// What operators read.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.0.cause.as_deref()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::database_unavailable(error),
            StoreError::SessionEnded => Self::token_invalid(),
            StoreError::NotFound => Self::not_found(),
            StoreError::Forbidden => Self::forbidden(),
            StoreError::Conflict(detail) => Self::conflict(detail),
            StoreError::PreconditionFailed => Self::precondition_failed(),
            StoreError::Invalid { pointer, code, detail } => Self::invalid_field(pointer, code, detail),
            StoreError::Internal(_) => Self::internal(error),
        }
    }
}

/// A problem document as the OpenAPI document describes it (RFC 9457).
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `todo_shared::problem` writes")]
pub struct ProblemDocument {
    /// `/problems/<code>`
    r#type: String,
    title: String,
    status: u16,
    detail: Option<String>,
    /// The why-code.
    code: String,
    request_id: String,
    /// The fields at fault, with `invalid`.
    errors: Option<Vec<ProblemField>>,
}

/// One field that is not valid.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `todo_shared::problem` writes")]
pub struct ProblemField {
    /// RFC 6901 into the body, or `?name` for a query parameter.
    pointer: String,
    code: String,
    detail: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(formatter)
    }
}

impl Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code().status();
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer::challenge(self.code())));
        }
        if let Some(wait) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_status_headers_and_itself() {
        let response = ApiError::database_unavailable("connection refused").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let refusal = response.extensions().get::<ApiError>().expect("travels along");
        assert_eq!(refusal.code(), Code::DatabaseUnavailable);
        assert_eq!(refusal.cause().map(ToString::to_string).as_deref(), Some("connection refused"));
    }

    #[test]
    fn a_401_says_how_to_authenticate() {
        let challenge = |error: ApiError| error.into_response().headers()[header::WWW_AUTHENTICATE].clone();
        assert_eq!(challenge(ApiError::token_missing()), "Bearer");
        assert_eq!(challenge(ApiError::token_invalid()), "Bearer error=\"invalid_token\"");
        assert_eq!(challenge(ApiError::credentials_invalid()), "Bearer");
    }
}
