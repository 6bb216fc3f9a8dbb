//! Conditional requests (RFC 9110 section 13).
//!
//! A single thing has the strong entity tag `"v<version>"`; a page `"c<change number>-<fingerprint of the query>"`, which
//! cannot stay while its content changes. Malformed fields are treated by what is at stake: an unreadable `If-None-Match` is
//! ignored (the answer is merely longer), an unreadable `If-Match` is 400 (ignoring it would lose the guard that the client
//! asked for). `If-Match` compares strongly, in the database, in the transaction that writes; `If-None-Match` weakly.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use todo_shared::problem::Code;

use crate::{domain::page::Fingerprint, problem::ApiError, state::AppState};

/// The most entity tags of one request that are looked at.
const MOST_TAGS: usize = 32;

/// The entity tag of a version.
pub fn version_tag(version: i64) -> HeaderValue {
    tag(&format!("\"v{version}\""))
}

/// The entity tag of a page.
pub fn page_tag(seq: i64, query: Fingerprint) -> HeaderValue {
    tag(&format!("\"c{seq}-{}\"", query.to_hex()))
}

fn tag(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// One entity tag (RFC 9110 section 8.8.3); the opaque part is without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EntityTag {
    weak: bool,
    opaque: String,
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    These(Vec<EntityTag>),
}

/// Reads all fields of one name as one list (RFC 9110 section 5.3). Absent is `Ok(None)`.
fn read(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<Tags>, ()> {
    let mut tags = Vec::new();
    let fields = headers.get_all(&name).iter().count();
    for value in headers.get_all(&name) {
        let mut rest = value.as_bytes();
        if rest.trim_ascii() == b"*" {
            return if fields == 1 { Ok(Some(Tags::Any)) } else { Err(()) };
        }
        loop {
            // Empty elements of a list are to be skipped (section 5.6.1.2).
            while let [b' ' | b'\t' | b',', tail @ ..] = rest {
                rest = tail;
            }
            if rest.is_empty() {
                break;
            }
            let (tag, tail) = read_tag(rest).ok_or(())?;
            let tail = tail.trim_ascii_start();
            if !matches!(tail.first(), None | Some(b',')) || tags.len() == MOST_TAGS {
                return Err(());
            }
            tags.push(tag);
            rest = tail;
        }
    }
    match (fields, tags.is_empty()) {
        (0, _) => Ok(None),
        (_, true) => Err(()),
        _ => Ok(Some(Tags::These(tags))),
    }
}

fn read_tag(octets: &[u8]) -> Option<(EntityTag, &[u8])> {
    let (weak, octets) = octets.strip_prefix(b"W/").map_or((false, octets), |octets| (true, octets));
    let octets = octets.strip_prefix(b"\"")?;
    let end = octets.iter().position(|&octet| octet == b'"')?;
    let (opaque, tail) = octets.split_at_checked(end)?;
    // etagc: any visible character but the quote, and obs-text.
    if opaque.iter().any(|&octet| octet <= b' ' || octet == 0x7f) {
        return None;
    }
    Some((EntityTag { weak, opaque: String::from_utf8_lossy(opaque).into_owned() }, tail.strip_prefix(b"\"")?))
}

/// A number as our tags write it. Tags are compared octet by octet, so `01` and `+1` are not 1.
fn number(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|number: &i64| number.to_string() == digits)
}

/// What a write expects of the version that it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any version: there was no `If-Match`, or `*`.
    Any,
    /// One of these. Tags that are none of ours match nothing, and so does a weak one.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Reads the field; `required` refuses a request without one (428).
    fn read(headers: &HeaderMap, required: bool) -> Result<Self, ApiError> {
        match read(headers, header::IF_MATCH) {
            Ok(None) if required => Err(ApiError::new(Code::PreconditionRequired)),
            Ok(None | Some(Tags::Any)) => Ok(Self::Any),
            Ok(Some(Tags::These(tags))) => {
                let version = |tag: &EntityTag| if tag.weak { None } else { number(tag.opaque.strip_prefix('v')?) };
                Ok(Self::Versions(tags.iter().filter_map(version).collect()))
            }
            Err(()) => Err(ApiError::malformed("If-Match is not a list of entity tags.")),
        }
    }

    /// Whether a row of this version may be written.
    pub fn allows(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// The versions, if not any will do.
    pub fn versions(&self) -> Option<&[i64]> {
        match self {
            Self::Any => None,
            Self::Versions(versions) => Some(versions),
        }
    }
}

impl FromRequestParts<AppState> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Self::read(&parts.headers, state.require_if_match)
    }
}

/// What the reader has already. As an extractor it never refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfNoneMatch(Option<Tags>);

impl IfNoneMatch {
    /// Reads the field.
    pub fn read(headers: &HeaderMap) -> Self {
        Self(read(headers, header::IF_NONE_MATCH).unwrap_or_default())
    }

    /// Whether the reader has this one: the answer is then 304.
    pub fn has(&self, tag: &HeaderValue) -> bool {
        let opaque = tag.to_str().unwrap_or_default().trim_matches('"');
        match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(tags)) => tags.iter().any(|tag| tag.opaque == opaque),
        }
    }

    /// The change number of the reader's page of this query.
    pub fn known(&self, query: Fingerprint) -> Option<i64> {
        let Some(Tags::These(tags)) = &self.0 else { return None };
        tags.iter().find_map(|tag| {
            let (seq, of) = tag.opaque.strip_prefix('c')?.split_once('-')?;
            if of == query.to_hex() { number(seq) } else { None }
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::read(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).expect("a value"))).collect()
    }

    fn if_match(values: &[&str]) -> Result<IfMatch, &'static str> {
        IfMatch::read(&headers(header::IF_MATCH, values), false).map_err(|error| error.code().as_str())
    }

    fn if_none_match(values: &[&str]) -> IfNoneMatch {
        IfNoneMatch::read(&headers(header::IF_NONE_MATCH, values))
    }

    #[test]
    fn if_match_compares_strongly() {
        assert_eq!(if_match(&[]), Ok(IfMatch::Any));
        assert_eq!(if_match(&["*"]), Ok(IfMatch::Any));
        assert_eq!(if_match(&["\"v3\", \"v5\"", "\"v7\""]), Ok(IfMatch::Versions(vec![3, 5, 7])));
        for tag in ["W/\"v3\"", "\"v03\"", "\"v+3\"", "\"3\"", "\"v\""] {
            assert_eq!(if_match(&[tag]), Ok(IfMatch::Versions(vec![])), "{tag}");
        }
        assert_eq!(if_match(&["\"other, with a comma\""]), Err("request_malformed"));
        assert_eq!(if_match(&["\"other,comma\",,\t\"v1\""]), Ok(IfMatch::Versions(vec![1])));
    }

    #[test]
    fn an_unreadable_if_match_is_refused_and_an_unreadable_if_none_match_ignored() {
        for text in ["v3", "\"v3", "\"v3\" \"v4\"", "*, \"v3\"", "\"v3\", *", "", ",", "w/\"v3\"", "\"v 3\""] {
            assert_eq!(if_match(&[text]), Err("request_malformed"), "{text}");
            assert!(!if_none_match(&[text]).has(&version_tag(3)), "{text}");
        }
        assert_eq!(if_match(&["*", "*"]), Err("request_malformed"));
        assert!(if_match(&[&vec!["\"v1\""; 33].join(",")]).is_err());
    }

    #[test]
    fn if_match_may_be_required() {
        let error = IfMatch::read(&HeaderMap::new(), true).expect_err("refused");
        assert_eq!(error.code().as_str(), "precondition_required");
    }

    #[test]
    fn if_none_match_compares_weakly() {
        assert!(if_none_match(&["W/\"v3\""]).has(&version_tag(3)));
        assert!(if_none_match(&["\"v2\", \"v3\""]).has(&version_tag(3)));
        assert!(if_none_match(&["*"]).has(&version_tag(3)));
        assert!(!if_none_match(&["\"v33\""]).has(&version_tag(3)));
        assert!(!if_none_match(&[]).has(&version_tag(3)));
    }

    #[test]
    fn a_page_is_known_by_number_and_query() {
        let query = Fingerprint::default();
        let tag = page_tag(42, query);
        let request = if_none_match(&[tag.to_str().expect("text")]);
        assert!(request.has(&tag));
        assert_eq!(request.known(query), Some(42));
        assert_eq!(if_none_match(&["\"c42-0000000000000001\""]).known(query), None);
        // The store leaves out the rows of a page that is known, so what is known must be what is answered 304.
        for tag in ["\"c+42-0000000000000000\"", "\"c042-0000000000000000\""] {
            let request = if_none_match(&[tag]);
            assert!(!request.has(&page_tag(42, query)) && request.known(query).is_none(), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tags in prop::collection::vec(("[!#-~]{0,12}", any::<bool>()), 1..MOST_TAGS)) {
            let text: Vec<_> = tags.iter().map(|(opaque, weak)| format!("{}\"{opaque}\"", if *weak { "W/" } else { "" })).collect();
            let expected = tags.into_iter().map(|(opaque, weak)| EntityTag { weak, opaque }).collect();
            prop_assert_eq!(read(&headers(header::IF_MATCH, &[&text.join(", ")]), header::IF_MATCH), Ok(Some(Tags::These(expected))));
        }

        #[test]
        fn any_field_is_answered(octets in prop::collection::vec(0x20_u8..=0xff, 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&octets) {
                let headers: HeaderMap = [(header::IF_MATCH, value)].into_iter().collect();
                let _ = read(&headers, header::IF_MATCH);
            }
        }
    }
}
