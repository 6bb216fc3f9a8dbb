//! What is found out about a request, step by step, before it goes anywhere. Each step is one file; [`admit`] is their
//! order.

mod attempts;
pub mod authority;
mod body;
pub mod client_address;
pub mod conditions;
pub mod context;
pub mod cors;
pub mod forward;
pub mod host;
pub mod path;
pub mod pattern;
pub mod route;
mod target;

use std::{borrow::Cow, sync::Arc};

use http::{HeaderValue, Method, Uri, Version, header};
use pingora::{http::RequestHeader, proxy::Session};
use todo_shared::problem::Code;

use self::{
    authority::Authority,
    context::Context,
    host::{HostRefusal, OnUntrusted},
    route::{Match, Route},
    target::Target,
};
use crate::{
    config::HttpAction,
    edge::{ALLOW, HeadLimits},
    reply::Reply,
    runtime::Runtime,
};

/// Host, path, route and size: everything that can be decided from the head alone.
///
/// # Errors
/// The answer for a request that goes no further.
pub fn admit(session: &mut Session, context: &mut Context) -> Result<(), Reply> {
    let runtime = Arc::clone(&context.runtime);
    let head = session.req_header_mut();
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Reply::method_not_allowed(HeaderValue::from_static(ALLOW)));
    }
    let malformed = || Reply::refuse(Code::RequestMalformed);
    let raw = std::str::from_utf8(head.raw_path()).map_err(|_| malformed())?.to_owned();
    if head.method == Method::OPTIONS && (raw == "*" || forward::max_forwards(&head.headers) == Some(0)) {
        // Asked of the gateway itself, which has nothing to say about its options.
        return Err(Reply::refuse(Code::NotImplemented));
    }
    if context.version == Version::HTTP_2 {
        check_bounds(head, &raw, runtime.edge.head)?;
    }
    let target = Target::parse(&raw).ok_or_else(malformed)?;

    let field = head.headers.get(header::HOST).map(HeaderValue::to_str).transpose().map_err(|_| malformed())?;
    let named = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let named = named.as_deref().or(target.authority);
    let hosts = &runtime.config.hosts;
    // For the log, trusted or not.
    context.host = named.or(field).and_then(Authority::parse).map(|host| host.to_string()).unwrap_or_default();
    if context.tls.is_none() && runtime.config.listen.http_action == HttpAction::Redirect {
        return Err(redirect(&runtime, field.or(named), &target));
    }
    let authority = hosts.check(field, named).map_err(|refusal| match (refusal, hosts.on_untrusted) {
        (HostRefusal::Malformed, _) => malformed(),
        (HostRefusal::Untrusted, OnUntrusted::Refuse) => Reply::refuse(Code::HostUntrusted),
        (HostRefusal::Untrusted, OnUntrusted::Drop) => Reply::Drop,
    })?;
    let path = path::normalise(target.path)
        .map_err(|refusal| Reply::refuse_with(Code::RequestMalformed, refusal.to_string()))?;
    if let Some(preflight) =
        runtime.config.cors.preflight(head, context.grant.as_ref(), &runtime.routes, &authority, &path)
    {
        return Err(Reply::Preflight(preflight));
    }
    let route = find_route(&runtime, &authority, &path, &head.method)?;
    context.route = Some(Arc::clone(route));

    // What was matched is what is sent: in origin form, in the path's one form, to the host that was trusted.
    let host_is_right = field.is_some_and(|field| field == context.host);
    if matches!(path, Cow::Owned(_)) || named.is_some() {
        head.set_uri(target.with_path(&path).parse::<Uri>().map_err(|_| malformed())?);
    }
    if !host_is_right {
        head.insert_header(header::HOST, context.host.as_str()).map_err(|_| malformed())?;
    }
    check_length(head, route)
}

/// The answer of the plain port, where that does not serve: the same resource over TLS, for hosts that are trusted (on whatever port, because the
/// answer names the right one).
fn redirect(runtime: &Runtime, host: Option<&str>, target: &Target<'_>) -> Reply {
    let malformed = Reply::refuse(Code::RequestMalformed);
    let Some(authority) = host.and_then(Authority::parse) else { return malformed };
    if !runtime.config.hosts.trusts_name(&authority) {
        return match runtime.config.hosts.on_untrusted {
            OnUntrusted::Refuse => Reply::refuse(Code::HostUntrusted),
            OnUntrusted::Drop => Reply::Drop,
        };
    }
    let path = match path::normalise(target.path) {
        Ok(path) => path,
        Err(refusal) => return Reply::refuse_with(Code::RequestMalformed, refusal.to_string()),
    };
    let port = match runtime.config.listen.redirect_port() {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let location = format!("https://{}{port}{}", authority.host_text(), target.with_path(&path));
    HeaderValue::from_str(&location).map_or(malformed, |location| Reply::Redirect { location })
}

fn find_route<'a>(
    runtime: &'a Runtime,
    host: &Authority<'_>,
    path: &str,
    method: &Method,
) -> Result<&'a Arc<Route>, Reply> {
    match runtime.routes.find(host, path, method) {
        Match::Found(route) => Ok(route),
        Match::NotFound => Err(Reply::refuse(Code::NotFound)),
        Match::MethodNotAllowed(allow) => Err(Reply::method_not_allowed(allow.clone())),
    }
}

/// The bounds of a head, which the gate holds over HTTP/1, for a head that came over HTTP/2: counted as that would be
/// written in HTTP/1.
fn check_bounds(head: &RequestHeader, target: &str, limits: HeadLimits) -> Result<(), Reply> {
    if target.len() > limits.target {
        return Err(Reply::refuse(Code::UriTooLong));
    }
    // RFC 9113 section 8.2.1; the h2 library refuses everything else that section forbids.
    if head.headers.values().any(|value| is_padded(value.as_bytes())) {
        return Err(Reply::refuse(Code::RequestMalformed));
    }
    let fields: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    if head.headers.len() > limits.fields || fields + target.len() > limits.octets {
        return Err(Reply::refuse(Code::HeaderTooLarge));
    }
    Ok(())
}

/// Whether white space stands around a field's value.
fn is_padded(value: &[u8]) -> bool {
    let is_space = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

/// A body that says beforehand that it is too large is refused before it is read, and one that says it twice, which the
/// gate refuses over HTTP/1.
fn check_length(head: &RequestHeader, route: &Route) -> Result<(), Reply> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    if lengths.next().is_some() {
        return Err(Reply::refuse(Code::RequestMalformed));
    }
    let length = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match length.ok_or_else(|| Reply::refuse(Code::RequestMalformed))? {
        length if length > route.rule.max_body => Err(Reply::refuse(Code::BodyTooLarge)),
        _ => Ok(()),
    }
}
