//! Problem documents (RFC 9457) and the why-codes.
//!
//! A refusal has one code. The same string stands in the problem document (`code`, and the last segment of `type`), in
//! the access log (`reason`) and in the metric label, so that a client's complaint, a log line and a graph can be
//! matched by eye. What a client reads (`detail`) and what an operator reads are different texts: this type carries
//! the first only, and `detail` never holds text taken from a request.

use std::{borrow::Cow, fmt, str::FromStr};

use http::StatusCode;
use serde::Serialize;

/// The media type of a problem document (RFC 9457 section 3).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The dictionary is written once, here: name, wire form, status, title.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:ident, $title:literal;)+) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code that answers a request.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as documents, logs and metric labels show it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The status that goes with the code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// A short summary that is the same for every occurrence (RFC 9457 section 3.1.3).
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// What the code means and what a client can do about it, for the page behind `type`.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// The request could not be read, or could be read in two ways. Send a well-formed HTTP message.
    RequestMalformed = "request_malformed", BAD_REQUEST, "The request is malformed";
    /// The cursor was not made by this listing. Start again without a cursor.
    CursorInvalid = "cursor_invalid", BAD_REQUEST, "The cursor is not valid here";
    /// The request needs an access token. Send `Authorization: Bearer <token>`.
    TokenMissing = "token_missing", UNAUTHORIZED, "An access token is required";
    /// The token is expired, revoked or not ours. Refresh it, or sign in again.
    TokenInvalid = "token_invalid", UNAUTHORIZED, "The token is not valid";
    /// The address and the password do not belong together.
    CredentialsInvalid = "credentials_invalid", UNAUTHORIZED, "The credentials are not valid";
    /// The token or the role does not allow this.
    Forbidden = "forbidden", FORBIDDEN, "This is not allowed";
    /// The request was stopped by a security rule. If it is legitimate, report the request id.
    Screened = "screened", FORBIDDEN, "The request was screened out";
    /// There is no such thing, or it is not visible to this caller.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The resource exists and does not know this method. `Allow` lists those it knows.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long to arrive";
    /// The request contradicts the present state, such as an address that is taken.
    Conflict = "conflict", CONFLICT, "The request conflicts with the present state";
    /// A request with the same idempotency key is being worked on. Repeat it later.
    IdempotencyInFlight = "idempotency_in_flight", CONFLICT, "The same request is in flight";
    /// The change feed no longer reaches back to this cursor. Read everything anew.
    CursorExpired = "cursor_expired", GONE, "The cursor has expired";
    /// The resource was changed by somebody else. Read it again, then repeat with its new entity tag.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "The resource has changed";
    /// The body is larger than this resource takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The request target is longer than this service reads.
    UriTooLong = "uri_too_long", URI_TOO_LONG, "The request target is too long";
    /// The body's media type is not one that this resource reads.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    /// No part of the requested range exists.
    RangeUnsatisfiable = "range_unsatisfiable", RANGE_NOT_SATISFIABLE, "The range cannot be satisfied";
    /// This service does not answer for the host that the request names.
    HostUntrusted = "host_untrusted", MISDIRECTED_REQUEST, "The host is not served here";
    /// Fields of the body or the query are not valid. `errors` lists each one.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// The idempotency key was used for another payload. Take a new key.
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    /// The write must name the version it is based on. Send `If-Match`.
    PreconditionRequired = "precondition_required", PRECONDITION_REQUIRED, "A precondition is required";
    /// Too many requests. Wait as long as `Retry-After` says.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The head of the request is larger than this service reads.
    HeaderTooLarge = "header_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head is too large";
    /// Something broke on our side. The request id lets us find it.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
    /// The request uses a part of HTTP that this service does not speak.
    NotImplemented = "not_implemented", NOT_IMPLEMENTED, "Not implemented";
    /// No API server could be reached. Repeat the request later.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, "The service behind the gateway cannot be reached";
    /// The API answered with something that is not valid HTTP.
    UpstreamInvalid = "upstream_invalid", BAD_GATEWAY, "The service behind the gateway answered badly";
    /// The service has more work than it can take. Repeat the request later.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The service is overloaded";
    /// This server is stopping. Repeat the request: another one answers.
    Draining = "draining", SERVICE_UNAVAILABLE, "The server is stopping";
    /// The database cannot be reached. Repeat the request later.
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE, "The database is unavailable";
    /// The API did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "The service behind the gateway took too long";
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// There is no such code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such problem code")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// One field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it stands in the body (RFC 6901), or `?name` for a query parameter.
    pub pointer: String,
    /// A short machine-readable reason, such as `too_long`.
    pub code: &'static str,
    /// One sentence for people.
    pub detail: Cow<'static, str>,
}

/// A problem document, as far as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Why the request was refused.
    pub code: Code,
    /// What is particular about this occurrence; never text from the request.
    pub detail: Option<Cow<'static, str>>,
    /// The fields at fault, with [`Code::Invalid`].
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem without further detail.
    pub const fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new() }
    }

    /// Says what is particular about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The document, for the request of this id.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        let document = Document {
            problem_type: ProblemType(self.code),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.as_deref(),
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        // Strings and numbers only: serialising them cannot fail, and an empty body would still carry the status.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    problem_type: ProblemType,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

struct ProblemType(Code);

impl Serialize for ProblemType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/problems/{}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_an_error_and_reads_back() {
        for code in Code::ALL {
            assert!(code.status().as_u16() >= 400, "{code}");
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(!code.meaning().trim().is_empty(), "{code} says what to do");
        }
    }

    #[test]
    fn a_document_has_the_members_of_the_contract() {
        let problem = Problem {
            code: Code::Invalid,
            detail: Some("Two fields are not valid.".into()),
            errors: vec![FieldError {
                pointer: "/title".into(),
                code: "too_long",
                detail: "At most 500 characters.".into(),
            }],
        };
        let value: serde_json::Value = serde_json::from_slice(&problem.to_json("id-1")).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "type": "/problems/invalid", "title": "The request is not valid", "status": 422,
                "detail": "Two fields are not valid.", "code": "invalid", "request_id": "id-1",
                "errors": [{"pointer": "/title", "code": "too_long", "detail": "At most 500 characters."}]
            })
        );
    }
}
