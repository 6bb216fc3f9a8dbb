//! The only writer of answers that the gateway makes itself.
//!
//! An answer is a problem document with a why-code, under the same response policy as what the API answers, and never
//! holds a word of the request. There are two forms: [`send`] for a session, [`raw`] for a connection that was refused
//! before there was one.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::{Error, http::ResponseHeader, proxy::Session};
use todo_shared::{
    problem::{self, Code, Problem},
    request_id::{self, RequestId},
};

use tokio::time::timeout;

use crate::{
    edge::Closed,
    request::{context::Context, cors::Preflight},
    response::{ResponsePolicy, compressor},
};

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A refusal or failure.
    Problem {
        /// Why.
        code: Code,
        /// What is particular about it; our words.
        detail: Option<Cow<'static, str>>,
        /// `Allow`, which goes with 405.
        allow: Option<HeaderValue>,
    },
    /// 308 to the same resource over TLS.
    Redirect {
        /// The absolute address.
        location: HeaderValue,
    },
    /// 204 to a browser that asks what a page of another origin may do.
    Preflight(Preflight),
    /// Nothing at all: the connection closes as if nobody were here.
    Drop,
}

impl Reply {
    /// A refusal without further detail.
    pub const fn refuse(code: Code) -> Self {
        Self::Problem { code, detail: None, allow: None }
    }

    /// A refusal that says more.
    pub fn refuse_with(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Problem { code, detail: Some(detail.into()), allow: None }
    }

    /// 405 with the methods that are taken.
    pub const fn method_not_allowed(allow: HeaderValue) -> Self {
        Self::Problem { code: Code::MethodNotAllowed, detail: None, allow: Some(allow) }
    }

    /// What the log and the metric call it.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Problem { code, .. } => Some(code.as_str()),
            Self::Redirect { .. } | Self::Preflight(_) => None,
            Self::Drop => Some(Closed::HostDropped.as_str()),
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Problem { code, .. } => code.status(),
            Self::Preflight(_) => StatusCode::NO_CONTENT,
            Self::Redirect { .. } | Self::Drop => StatusCode::PERMANENT_REDIRECT,
        }
    }

    fn body(&self, request_id: &RequestId) -> Vec<u8> {
        match self {
            Self::Problem { code, detail, .. } => {
                Problem { code: *code, detail: detail.clone(), errors: Vec::new() }.to_json(request_id.as_str())
            }
            Self::Redirect { .. } | Self::Preflight(_) | Self::Drop => Vec::new(),
        }
    }

    /// The fields that belong to this answer, whoever carries it.
    fn fields(&self) -> impl Iterator<Item = (header::HeaderName, HeaderValue)> {
        let (media_type, allow, location) = match self {
            Self::Problem { code, allow, .. } => {
                let retry = is_temporary(code.status()).then_some(RETRY_AFTER);
                let media_type = (header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
                let allow = allow.clone().map(|allow| (header::ALLOW, allow));
                (Some(media_type), allow, retry.map(|retry| (header::RETRY_AFTER, retry)))
            }
            Self::Redirect { location } => (None, None, Some((header::LOCATION, location.clone()))),
            Self::Preflight(_) | Self::Drop => (None, None, None),
        };
        let preflight = match self {
            Self::Preflight(preflight) => Some(preflight.fields()),
            _ => None,
        };
        // Whatever is refused now may be served in a moment: nobody may remember it.
        let no_store = Some((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        [media_type, allow, location, no_store].into_iter().flatten().chain(preflight.into_iter().flatten())
    }
}

/// How much, in octets, and how long a stream is read on after an early answer.
const MOST_DRAINED: usize = 1 << 20;
const LONGEST_DRAIN: Duration = Duration::from_secs(1);

/// When to come back after 502, 503 and 504, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Whether somebody else, or the same one in a moment, may answer instead.
const fn is_temporary(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Writes the answer to a session, and notes it for the log.
///
/// # Errors
/// Those of the connection.
pub async fn send(session: &mut Session, context: &mut Context, reply: &Reply) -> pingora::Result<()> {
    context.reason = reply.reason();
    if *reply == Reply::Drop {
        session.set_keepalive(None);
        return Ok(());
    }
    // Pingora does not say of a failed write whose fault it was. Here it is the client's, who left, and not ours.
    write(session, context, reply).await.map_err(Error::into_down)
}

async fn write(session: &mut Session, context: &Context, reply: &Reply) -> pingora::Result<()> {
    let body = reply.body(&context.request_id);
    compressor::abandon(session);
    let mut answer = ResponseHeader::build(reply.status(), Some(16))?;
    for (name, value) in reply.fields() {
        answer.insert_header(name, value)?;
    }
    if reply.status() != StatusCode::NO_CONTENT {
        answer.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    answer.insert_header(request_id::HEADER, context.request_id.as_str())?;
    context.apply_policies(&mut answer)?;

    // What is left of the request's body is not waited for: the connection ends with the answer.
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
    let bodiless = body.is_empty() || session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(answer), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(Bytes::from(body)), true).await?;
    }
    if session.is_http2() && !session.is_body_done() {
        drain(session).await;
    }
    Ok(())
}

/// Whether an answer has begun. An interim one (`100 Continue`) is none.
pub fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|answer| !answer.status.is_informational())
}

/// Reads on for a while after an answer that came before the whole request. Over HTTP/1 the gate does it.
///
/// HTTP/2 lets a server end its answer and then reset the stream with `NO_ERROR` (RFC 9113 section 8.1), and common
/// clients (curl of Debian 12) lose the answer over it. Most stop sending by themselves once they have read it.
async fn drain(session: &mut Session) {
    let rest = async {
        let mut drained = 0;
        while drained < MOST_DRAINED {
            match session.read_request_body().await {
                Ok(Some(piece)) => drained += piece.len(),
                Ok(None) | Err(_) => return,
            }
        }
    };
    let _ = timeout(LONGEST_DRAIN, rest).await;
}

/// The answer as the octets of a whole HTTP/1.1 message that closes its connection.
pub fn raw(reply: &Reply, request_id: &RequestId, policy: &ResponsePolicy, over_tls: bool) -> Vec<u8> {
    let body = reply.body(request_id);
    let status = reply.status();
    let mut octets = Vec::with_capacity(1024 + body.len());
    let reason = status.canonical_reason().unwrap_or_default();
    octets.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    let mut field = |name: &str, value: &[u8]| {
        octets.extend_from_slice(name.as_bytes());
        octets.extend_from_slice(b": ");
        octets.extend_from_slice(value);
        octets.extend_from_slice(b"\r\n");
    };
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    field(header::DATE.as_str(), date.as_bytes());
    for (name, value) in reply.fields() {
        field(name.as_str(), value.as_bytes());
    }
    field(header::CONTENT_LENGTH.as_str(), body.len().to_string().as_bytes());
    field(request_id::HEADER, request_id.as_str().as_bytes());
    for (name, value) in policy.fields(over_tls) {
        field(name.as_str(), value.as_bytes());
    }
    field(header::CONNECTION.as_str(), b"close");
    octets.extend_from_slice(b"\r\n");
    octets.extend_from_slice(&body);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Field;

    #[test]
    fn the_raw_form_is_one_whole_message_under_the_policy() {
        let id = RequestId::accept(b"id-1").expect("id");
        let policy = ResponsePolicy::new(vec![
            (Field::StrictTransportSecurity, HeaderValue::from_static("max-age=1")),
            (Field::FrameOptions, HeaderValue::from_static("DENY")),
        ]);
        let octets = raw(&Reply::refuse(Code::HeaderTooLarge), &id, &policy, false);
        let text = String::from_utf8(octets).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\ndate: "));
        for field in [
            "content-type: application/problem+json",
            "cache-control: no-store",
            "x-request-id: id-1",
            "x-frame-options: DENY",
            "connection: close",
            &format!("content-length: {}", body.len()),
        ] {
            assert!(head.split("\r\n").any(|line| line == field), "{field} in {head}");
        }
        assert!(!head.contains("strict-transport-security"));
        let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(document["code"], "header_too_large");
    }

    #[test]
    fn what_is_temporary_says_when_to_come_back() {
        let has_retry = |code| Reply::refuse(code).fields().any(|(name, _)| name == header::RETRY_AFTER);
        for code in [Code::Overloaded, Code::UpstreamUnreachable, Code::UpstreamTimeout, Code::UpstreamInvalid] {
            assert!(has_retry(code), "{code:?}");
        }
        assert!(!has_retry(Code::RequestTimeout));
    }
}
