//! Compression of answers: which ones, in which coding, and what their fields then say.
//!
//! The API compresses nothing, and what it is told of conditions knows nothing of codings (`request/conditions.rs`).
//! Which answers are never compressed, and why, is `docs/decisions/0013-compression.md`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
};

use crate::{
    request::context::Context,
    response::{
        entity_tag,
        negotiation::{Accepted, Coding},
        vary_on,
    },
};

/// Compression as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionRule {
    /// The codings in use, the preferred one first; none for no compression.
    pub codings: Vec<Coding>,
    /// The smallest body that is worth it, in octets.
    pub min_size: u64,
    /// The media types that are compressed.
    pub types: Vec<MediaRange>,
    /// The level of each coding, in the order of [`Coding::ALL`].
    pub levels: [u32; Coding::ALL.len()],
    /// How many answers are compressed at the same time.
    pub max_concurrent: usize,
}

/// A media type, or all of a kind: `text/html`, `text/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    /// In lower case; of `text/*` the part before the asterisk.
    text: Box<str>,
    is_prefix: bool,
}

impl MediaRange {
    fn matches(&self, essence: &[u8]) -> bool {
        let same = |octets: &[u8]| octets.eq_ignore_ascii_case(self.text.as_bytes());
        if self.is_prefix { essence.get(..self.text.len()).is_some_and(same) } else { same(essence) }
    }
}

impl std::str::FromStr for MediaRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-._".contains(&octet))
        };
        let lower = text.to_ascii_lowercase();
        match lower.split_once('/') {
            Some(("text", "event-stream")) => {
                Err("events are never compressed: each has to reach the client at once".to_owned())
            }
            Some((kind, "*")) if is_token(kind) => Ok(Self { text: format!("{kind}/").into(), is_prefix: true }),
            Some((kind, part)) if is_token(kind) && is_token(part) => Ok(Self { text: lower.into(), is_prefix: false }),
            _ => Err(format!("`{text}` is not a media type such as `application/json` or `text/*`")),
        }
    }
}

/// Compresses an answer of the API if it is one to be compressed, and makes its entity tag tell the truth either way.
///
/// An answer to HEAD has the fields that GET would have (RFC 9110 section 9.3.2).
///
/// # Errors
/// Those of Pingora's header map, which has a bound of its own.
pub fn prepare(session: &mut Session, answer: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    let compression = &context.runtime.compression;
    let is_allowed = context.route.as_ref().is_some_and(|route| route.rule.compress);
    let may_differ = is_allowed && !compression.rule.codings.is_empty();
    let request = session.req_header();
    let accepted = || Accepted::parse(values(&request.headers, &header::ACCEPT_ENCODING));
    if answer.status == StatusCode::NOT_MODIFIED {
        if may_differ {
            vary_on(answer, &header::ACCEPT_ENCODING)?;
        }
        let coding = accepted().choose(&compression.rule.codings);
        let conditions = values(&request.headers, &header::IF_NONE_MATCH);
        return retag(answer, |tag| entity_tag::of_not_modified(tag, conditions, coding));
    }
    if !may_differ || !is_compressible(answer, &compression.rule.types) {
        return retag(answer, |tag| entity_tag::mark(tag, None));
    }
    vary_on(answer, &header::ACCEPT_ENCODING)?;
    let length = content_length(answer);
    let accepted = accepted();
    let is_worth_it = length.is_none_or(|length| length >= compression.rule.min_size || accepted.refuses_plain());
    let is_head = request.method == Method::HEAD;
    let coding = accepted.choose(&compression.rule.codings).filter(|_| is_worth_it && allows(request, context.version));
    let Some(coding) = coding.filter(|coding| is_head || compression.begin(session, *coding, length)) else {
        return retag(answer, |tag| entity_tag::mark(tag, None));
    };
    answer.insert_header(header::CONTENT_ENCODING, coding.as_str())?;
    // The length and the ranges were those of the plain octets.
    answer.remove_header(&header::CONTENT_LENGTH);
    answer.remove_header(&header::ACCEPT_RANGES);
    if !is_head {
        // Over HTTP/2 Pingora removes it again.
        answer.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    retag(answer, |tag| entity_tag::mark(tag, Some(coding)))
}

/// Whether these octets may be replaced by others: complete, of a type that shrinks, under no coding, digest or word of
/// the API's against it (RFC 9111 section 5.2.2.6, RFC 9530).
fn is_compressible(answer: &ResponseHeader, types: &[MediaRange]) -> bool {
    const NO_BODY: [StatusCode; 3] = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT];
    const SPEAKS_AGAINST: [HeaderName; 6] = [
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::SET_COOKIE,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
        HeaderName::from_static("digest"),
    ];
    let fields = &answer.headers;
    let mut tags = fields.get_all(header::ETAG).iter();
    let is_tag_known = tags.next().is_none_or(|tag| entity_tag::is_valid(tag.as_bytes())) && tags.next().is_none();
    is_tag_known
        && !NO_BODY.contains(&answer.status)
        && content_length(answer) != Some(0)
        && fields.get(header::CONTENT_TYPE).is_some_and(|value| has_type(value, types))
        && !SPEAKS_AGAINST.iter().any(|name| fields.contains_key(name))
        && !forbids_change(fields)
}

/// What of the request speaks against it: a client that would have to be told the length beforehand, a part that is asked
/// for, a word against transformations (RFC 9111 section 5.2.1.6).
fn allows(request: &RequestHeader, version: Version) -> bool {
    version != Version::HTTP_10 && !request.headers.contains_key(header::RANGE) && !forbids_change(&request.headers)
}

fn has_type(value: &HeaderValue, types: &[MediaRange]) -> bool {
    let essence = value.as_bytes().split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    types.iter().any(|range| range.matches(essence)) && !essence.eq_ignore_ascii_case(b"text/event-stream")
}

fn forbids_change(fields: &HeaderMap) -> bool {
    let directives = values(fields, &header::CACHE_CONTROL).flat_map(|field| field.split(|octet| *octet == b','));
    directives.map(<[u8]>::trim_ascii).any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

fn content_length(answer: &ResponseHeader) -> Option<u64> {
    answer.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn values<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    fields.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

fn retag(answer: &mut ResponseHeader, change: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> pingora::Result<()> {
    match answer.headers.get(header::ETAG).and_then(|tag| change(tag.as_bytes())) {
        Some(tag) => answer.insert_header(header::ETAG, tag),
        None => Ok(()),
    }
}
