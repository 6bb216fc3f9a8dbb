//! What the API is told of codings: nothing. It answers with plain octets, so it gets neither `Accept-Encoding` nor an entity
//! tag that names a compressed form; the gateway does both (`response/compression.rs`).

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use crate::response::{
    entity_tag::{self, Range},
    negotiation::{Accepted, Coding},
};

/// Turns a client's request into one about plain octets.
///
/// # Errors
/// Those of Pingora's header map, which has a bound of its own.
pub fn prepare(request: &mut RequestHeader) -> pingora::Result<()> {
    let fields = request.headers.get_all(header::ACCEPT_ENCODING).iter();
    let accepted = Accepted::parse(fields.map(HeaderValue::as_bytes));
    request.remove_header(&header::ACCEPT_ENCODING);
    unmark(request, &header::IF_MATCH, |_| true)?;
    // A 304 would send the client back to what it cannot read; a cache asks on behalf of others. Before a change, a tag
    // is about the resource, in whatever coding.
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    unmark(request, &header::IF_NONE_MATCH, |coding| !reads || accepted.takes(coding))?;
    match request.headers.get(header::IF_RANGE).map(|value| entity_tag::unmark_range(value.as_bytes())) {
        None | Some(Range::Asked(Cow::Borrowed(_))) => Ok(()),
        Some(Range::Asked(Cow::Owned(own))) => request.insert_header(header::IF_RANGE, own),
        Some(Range::Whole) => {
            request.remove_header(&header::IF_RANGE);
            request.remove_header(&header::RANGE);
            Ok(())
        }
    }
}

/// Rewrites each field of the name that holds a tag of ours; the order stays.
fn unmark(
    request: &mut RequestHeader,
    name: &HeaderName,
    counts: impl Fn(Coding) -> bool + Copy,
) -> pingora::Result<()> {
    let fields = request.headers.get_all(name).iter();
    let own: Vec<Option<Vec<u8>>> = fields.map(|value| entity_tag::unmark(value.as_bytes(), counts)).collect();
    if own.iter().all(Option::is_none) {
        return Ok(());
    }
    let fields: Vec<_> = request.headers.get_all(name).iter().cloned().collect();
    request.remove_header(name);
    for (field, own) in fields.into_iter().zip(own) {
        match own {
            Some(own) if own.is_empty() => continue,
            Some(own) => request.append_header(name.clone(), own)?,
            None => request.append_header(name.clone(), field)?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared_for(method: &str, fields: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut request = RequestHeader::build(method, b"/", None).expect("request");
        for (name, value) in fields {
            request.append_header(*name, *value).expect("field");
        }
        prepare(&mut request).expect("prepared");
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
    }

    fn prepared(fields: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        prepared_for("GET", fields)
    }

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_api_hears_nothing_of_codings() {
        assert_eq!(prepared(&[("accept-encoding", "gzip"), ("accept", "*/*")]), [field("accept", "*/*")]);
        assert_eq!(
            prepared(&[("accept-encoding", "gzip"), ("if-none-match", "\"a\""), ("if-none-match", "\"b-gz\"")]),
            [field("if-none-match", "\"a\""), field("if-none-match", "\"b\"")]
        );
        assert_eq!(prepared(&[("if-match", "\"a\"")]), [field("if-match", "\"a\"")]);
        let unreadable = [("accept-encoding", "br"), ("if-none-match", "\"a-gz\"")];
        assert_eq!(prepared(&unreadable), []);
        assert_eq!(prepared_for("PUT", &unreadable), [field("if-none-match", "\"a\"")]);
        assert_eq!(prepared(&[("if-range", "\"a-gz\""), ("range", "bytes=1-")]), []);
        let plain = [("if-range", "\"a\""), ("range", "bytes=1-")];
        assert_eq!(prepared(&plain), plain.map(|(name, value)| field(name, value)));
    }
}
