//! What the API is told: fields that claim something on the gateway's behalf are removed, then written by the gateway.
//!
//! The API may believe `X-Forwarded-*`, `X-Request-Id` and `traceparent`, because nobody else can set them. Identity
//! reaches it as the client's own token and in no other way. Hop-by-hop fields are removed by Pingora before this.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use todo_shared::{request_id, trace_context};

use crate::request::context::Context;

/// Prefixes of fields that only proxies write: origin, identity, and client certificates.
const OWNED_PREFIXES: [&str; 6] =
    ["x-forwarded", "x-user", "x-authenticated", "x-auth-request", "x-client-cert", "x-ssl-"];

/// Single fields that only proxies write, or that make software behind a proxy read another request than it checked.
const OWNED: [&str; 14] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-remote-user",
    "remote-user",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-method-override",
    "x-method-override",
    "proxy",
];

const TRACE_STATE: &str = "tracestate";

/// Whether a client's field is not passed on. An underscore stands for a hyphen in many an application, so a name with
/// one could be any of these in disguise.
fn is_owned(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.contains('_')
        || OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || OWNED.contains(&name)
        || name == request_id::HEADER
        || name == trace_context::HEADER
}

/// Makes the request that the API receives.
///
/// # Errors
/// Those of Pingora's header map, which has a bound of its own.
pub fn prepare(request: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
    let owned: Vec<HeaderName> = request.headers.keys().filter(|name| is_owned(name)).cloned().collect();
    for name in owned {
        request.remove_header(&name);
    }
    if !context.trace_is_continued {
        // W3C Trace Context section 3.3: it belongs to a `traceparent` that goes no further.
        request.remove_header(TRACE_STATE);
    }
    if context.version == Version::HTTP_2 {
        join_cookies(request)?;
    }
    if request.method == Method::OPTIONS
        && let Some(left) = max_forwards(&request.headers)
    {
        request.insert_header(header::MAX_FORWARDS, left.saturating_sub(1))?;
    }
    request.insert_header("x-forwarded-for", context.client.to_string())?;
    request.insert_header("x-forwarded-proto", if context.over_tls() { "https" } else { "http" })?;
    request.insert_header("x-forwarded-host", context.host.as_str())?;
    request.insert_header(request_id::HEADER, context.request_id.as_str())?;
    request.insert_header(trace_context::HEADER, context.trace.to_string())?;
    request.append_header(header::VIA, via(context.version)).map(drop)
}

/// Whether the client asked that the connection ends with the answer. One `close` in whatever line and company is enough
/// (RFC 9112 section 9.3); Pingora reads the first line, and there prefers `keep-alive`.
pub fn asks_to_close(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::CONNECTION).iter();
    lists
        .flat_map(|list| list.as_bytes().split(|octet| *octet == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// HTTP/2 may cut `Cookie` into many fields, HTTP/1 has one (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> pingora::Result<()> {
    let crumbs: Vec<&[u8]> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        request.insert_header(header::COOKIE, crumbs.join(&b"; "[..]))?;
    }
    Ok(())
}

/// How many times the request may still be forwarded (RFC 9110 section 7.6.2); `None` where it does not say.
pub(super) fn max_forwards(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

/// RFC 9110 section 7.6.3: the version that was received, and who received it.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 todo-gateway",
        Version::HTTP_10 => "1.0 todo-gateway",
        _ => "1.1 todo-gateway",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_only_the_gateway_may_say_is_its_own() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-user",
            "forwarded",
            "x-user-id",
            "x-authenticated-groups",
            "x-request-id",
            "traceparent",
            "x_user_id",
            "proxy",
        ] {
            assert!(is_owned(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["authorization", "accept", "content-type", "if-match", "idempotency-key", "via", "tracestate"] {
            assert!(!is_owned(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn one_close_ends_a_connection() {
        for (lists, expected) in [
            (&["close"][..], true),
            (&["x", "y, CLOSE"], true),
            (&["keep-alive, close"], true),
            (&["keep-alive"], false),
            (&["closed"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::CONNECTION, HeaderValue::from_static(list));
            }
            assert_eq!(asks_to_close(&headers), expected, "{lists:?}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_an_owned_prefix_gets_through(prefix in 0..OWNED_PREFIXES.len(), rest in "[a-z0-9-]{0,12}", upper: bool) {
            let name = format!("{}{rest}", OWNED_PREFIXES[prefix]);
            let name = if upper { name.to_uppercase() } else { name };
            prop_assert!(is_owned(&HeaderName::from_bytes(name.as_bytes()).expect("name")));
        }
    }
}
