//! Extractors: typed, bounded input, with a problem document for everything that is not.
//!
//! Shape is checked here (media type, size, nesting, JSON, known members of the right type), meaning in `domain`.
//! The size is bounded by the router's `DefaultBodyLimit`. Error texts name members of our own types and what was
//! expected; they never repeat what was sent. Types that are read with these extractors say
//! `#[serde(deny_unknown_fields)]`: a misspelt member is an error, not a silent no-op.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use todo_shared::problem::{Code, FieldError};

use crate::{domain::object::Object, problem::ApiError};

/// How deep arrays and objects may nest in a body. No body of the contract needs more than 4.
pub const DEEPEST: usize = 32;

/// A JSON body (`application/json`).
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// A merge-patch body (RFC 7396); plain `application/json` is accepted as the same.
#[derive(Debug, Clone, Copy)]
pub struct MergePatch<T>(pub T);

/// No body, or an empty JSON object.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The query string. A parameter that may repeat is a `Vec`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

/// The variable segment of a path, or a tuple of several. What is not a `T` names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct Segment<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(request, state, &["application/json"]).await?;
        json(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MergePatch<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(request, state, &["application/merge-patch+json", "application/json"]).await?;
        json(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::not_found()),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Empty {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let text = octets(request, state).await?;
        if text.is_empty() { Ok(Self {}) } else { json(&text) }
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S, accepted: &[&str]) -> Result<Bytes, ApiError> {
    if !is_accepted(request.headers(), accepted) {
        return Err(ApiError::new(Code::UnsupportedMediaType));
    }
    octets(request, state).await
}

async fn octets<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::new(Code::BodyTooLarge)
        } else {
            ApiError::malformed("The body ended early.")
        }
    })
}

/// Whether the only `Content-Type` is one of `accepted`, without parameters but `charset=utf-8`, and nothing is encoded.
fn is_accepted(headers: &HeaderMap, accepted: &[&str]) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_utf8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    accepted.iter().any(|known| known.eq_ignore_ascii_case(essence))
        && parts.all(is_utf8)
        && headers.get_all(header::CONTENT_ENCODING).iter().all(|encoding| encoding == "identity")
}

/// Reads a JSON object: 400 for what is not JSON or nests too deep, 422 for what is not a `T`.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    if depth(text) > DEEPEST {
        return Err(ApiError::malformed("The JSON text nests too deeply."));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if error.inner().is_data() {
            ApiError::invalid(vec![field_error(error.path(), &error.inner().to_string(), "", '/')])
        } else {
            ApiError::malformed("The body is not a JSON text.")
        }
    })?;
    deserializer.end().map_err(|_| ApiError::malformed("Something follows the JSON text."))?;
    Ok(value)
}

fn query<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let pairs = serde_html_form::Deserializer::from_bytes(text.as_bytes());
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| ApiError::invalid(vec![field_error(error.path(), &error.inner().to_string(), "?", '.')]))
}

/// The deepest nesting of brackets outside strings; a scan, so that no parser has to recurse first.
fn depth(text: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for octet in text {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Says which member is wrong from serde's message, of which only the parts that come from our own types are kept.
fn field_error(path: &serde_path_to_error::Path, message: &str, root: &str, separator: char) -> FieldError {
    use serde_path_to_error::Segment as Step;

    let after = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let mut names: Vec<Cow<'_, str>> = path
        .iter()
        .filter_map(|step| match step {
            Step::Map { key } => Some(Cow::Borrowed(key.as_str())),
            Step::Seq { index } => Some(Cow::Owned(index.to_string())),
            Step::Enum { .. } | Step::Unknown => None,
        })
        .collect();
    let mut add = |name: &'_ str| {
        if names.last().is_none_or(|last| last != name) {
            names.push(Cow::Owned(name.to_owned()));
        }
    };
    let (code, detail) = if let Some(name) = after("missing field `") {
        add(name);
        ("missing", Cow::Borrowed("This member is required."))
    } else if let Some(name) = after("duplicate field `") {
        add(name);
        ("duplicate", Cow::Borrowed("This member is given twice."))
    } else if let Some(name) = after("unknown field `") {
        add(name);
        ("unknown", Cow::Borrowed("There is no such member."))
    } else {
        let expected =
            message.rsplit_once(", expected ").map(|(_, rest)| rest.split(" at line ").next().unwrap_or(rest));
        (
            "invalid",
            expected.map_or(Cow::Borrowed("The value is not valid."), |what| {
                // serde speaks of Rust; the client sent JSON.
                let what = if what == "a sequence" { "an array" } else { what };
                format!("Expected {what}.").into()
            }),
        )
    };
    let escaped = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
    let mut pointer = root.to_owned();
    for (index, name) in escaped.enumerate() {
        if separator == '/' || index > 0 {
            pointer.push(separator);
        }
        pointer.push_str(&name);
    }
    FieldError { pointer, code, detail }
}

#[cfg(test)]
mod tests;
