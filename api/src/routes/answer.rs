//! What answers about a caller's own things have in common: an entity tag, and caches that must ask first.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    conditional::{IfNoneMatch, page_tag},
    domain::page::{Fingerprint, PageBody},
};

/// Only the client may keep it, and only if it asks each time (RFC 9111 section 5.2.2).
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// One thing with its entity tag.
pub(super) fn item(tag: HeaderValue, body: &impl Serialize) -> Response {
    ([(header::ETAG, tag), (header::CACHE_CONTROL, PRIVATE)], Json(body)).into_response()
}

/// One thing, unless the reader has it already.
pub(super) fn item_unless(reader: &IfNoneMatch, tag: HeaderValue, body: &impl Serialize) -> Response {
    if reader.has(&tag) { not_modified(tag) } else { item(tag, body) }
}

/// A thing that was made, with where it is.
pub(super) fn created(location: &str, tag: HeaderValue, body: &impl Serialize) -> Response {
    let mut response = item(tag, body);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A page, unless the reader has it already; with a link to the next one (RFC 8288), if there is one.
pub(super) fn page<T: Serialize>(
    reader: &IfNoneMatch,
    (seq, query): (i64, Fingerprint),
    uri: &Uri,
    body: &PageBody<T>,
) -> Response {
    let mut response = item_unless(reader, page_tag(seq, query), body);
    let next = body.next_cursor.as_deref().and_then(|cursor| next_link(uri, cursor).parse().ok());
    if let (StatusCode::OK, Some(link)) = (response.status(), next) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn not_modified(tag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::CACHE_CONTROL, PRIVATE)]).into_response()
}

/// The same listing with another cursor. A URI holds no `>`, so nothing that was sent can leave the brackets.
fn next_link(uri: &Uri, cursor: &str) -> String {
    let mut target = format!("<{}?", uri.path());
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        if pair.split('=').next() != Some("cursor") {
            target.extend([pair, "&"]);
        }
    }
    target + "cursor=" + cursor + ">; rel=\"next\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_keeps_the_query_and_replaces_the_cursor() {
        let link = |uri: &'static str| next_link(&Uri::from_static(uri), "new");
        assert_eq!(link("/v1/todos"), "</v1/todos?cursor=new>; rel=\"next\"");
        let filtered = "/v1/todos?tag=a%20b&cursor=old&tag=c&";
        assert_eq!(link(filtered), "</v1/todos?tag=a%20b&tag=c&cursor=new>; rel=\"next\"");
    }

    #[test]
    fn what_the_reader_has_is_not_sent_again() {
        let tag = HeaderValue::from_static("\"v3\"");
        let headers = [(header::IF_NONE_MATCH, tag.clone())].into_iter().collect();
        let response = item_unless(&IfNoneMatch::read(&headers), tag.clone(), &1);
        assert_eq!((response.status(), &response.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-cache");
    }
}
