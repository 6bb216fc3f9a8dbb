//! What of the API's answer goes on: fields that speak of the connection to the API end here, and the message is made to
//! fit the client's version of HTTP. What Pingora passes on as it came would otherwise reach the client as our word.

use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;

/// Fields of one connection, whether `Connection` names them or not (RFC 9110 section 7.6.1). `Transfer-Encoding` is
/// not among them: Pingora frames the body by it.
const HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// Fields that frame the body. They stay even where `Connection` names them.
const FRAMING: [HeaderName; 2] = [header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

/// Interim answers (1xx) of one exchange. Nobody needs more than a few; an API that sends them without end would hold its
/// client for as long.
const MOST_INTERIM: u8 = 16;

/// Counts an interim answer; false where there are too many.
pub const fn count_interim(seen: &mut u8) -> bool {
    *seen = seen.saturating_add(1);
    *seen <= MOST_INTERIM
}

/// Whether an answer can be passed on at all: its status is one, and its body is framed in a way that everybody reads alike.
/// Pingora has refused two lengths by now, has dropped a length beside a transfer coding as RFC 9112 section 6.3 asks, and
/// has raised the version of an answer that it frames itself.
pub fn is_sound(answer: &ResponseHeader) -> bool {
    let mut codings = answer.headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_framed = match (codings.next(), codings.next()) {
        (None, _) => true,
        // RFC 9112 section 6.1: HTTP/1.0 has no transfer codings, and none was asked for but this one.
        (Some(coding), None) => {
            answer.version != Version::HTTP_10 && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    };
    is_framed && matches!(answer.status.as_u16(), 100..=599)
}

/// Makes the answer that a client of this version receives; says whether its body ends with the connection.
pub fn prepare(answer: &mut ResponseHeader, client: Version) -> bool {
    if answer.headers.contains_key(header::CONNECTION) {
        for name in nominated(answer) {
            answer.remove_header(&name);
        }
        answer.remove_header(&header::CONNECTION);
    }
    remove(answer, &HOP_BY_HOP);
    // RFC 9112 section 2.3: the version is that of the sender, and that is the gateway.
    answer.set_version(Version::HTTP_11);
    if answer.status.is_informational() || answer.status == StatusCode::NO_CONTENT {
        // No body, so nothing to frame (RFC 9110 section 8.6, RFC 9112 section 6.1).
        remove(answer, &FRAMING);
        return false;
    }
    join_lengths(answer);
    let is_chunked = answer.headers.contains_key(header::TRANSFER_ENCODING);
    let ends_with_connection = is_chunked && client == Version::HTTP_10;
    if ends_with_connection {
        // RFC 9112 section 6.1: a client of HTTP/1.0 does not know chunks.
        answer.remove_header(&header::TRANSFER_ENCODING);
    }
    ends_with_connection
}

/// Lengths that are equal become one (RFC 9110 section 8.6); Pingora has refused those that are not.
fn join_lengths(answer: &mut ResponseHeader) {
    let mut lengths = answer.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    if lengths.next().is_some() || first.as_bytes().contains(&b',') {
        let one = first.as_bytes().split(|octet| *octet == b',').next().unwrap_or_default().trim_ascii();
        if let Ok(one) = HeaderValue::from_bytes(one) {
            // A field that was there fits.
            let _ = answer.insert_header(header::CONTENT_LENGTH, one);
        }
    }
}

/// Whether nothing follows the head of an answer.
pub fn is_bodiless(answer: &ResponseHeader, method: &Method) -> bool {
    let is_empty = || answer.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    *method == Method::HEAD || matches!(answer.status.as_u16(), 204 | 304) || is_empty()
}

/// The fields that `Connection` names.
fn nominated(answer: &ResponseHeader) -> Vec<HeaderName> {
    let lists = answer.headers.get_all(header::CONNECTION).iter();
    lists
        .flat_map(|list| list.as_bytes().split(|octet| *octet == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !FRAMING.contains(name))
        .collect()
}

pub(super) fn remove(answer: &mut ResponseHeader, names: &[HeaderName]) {
    for name in names {
        if answer.headers.contains_key(name) {
            answer.remove_header(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut answer = ResponseHeader::build(status, None).expect("answer");
        answer.set_version(Version::HTTP_10);
        for (name, value) in fields {
            answer.append_header(*name, *value).expect("field");
        }
        answer
    }

    fn names(answer: &ResponseHeader) -> Vec<&str> {
        answer.headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_speaks_of_the_connection_to_the_api_ends_here() {
        let mut answer = answer(
            200,
            &[
                ("connection", "close , X-Hop"),
                ("connection", "content-length"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("upgrade", "h2c"),
                ("trailer", "x"),
                ("content-length", "2"),
                ("etag", "\"1\""),
            ],
        );
        assert!(!prepare(&mut answer, Version::HTTP_11));
        assert_eq!(names(&answer), ["content-length", "etag"]);
        assert_eq!(answer.version, Version::HTTP_11);
    }

    #[test]
    fn an_answer_without_a_body_frames_none() {
        for (status, framed) in [(100, 0), (103, 0), (204, 0), (200, 2), (304, 2)] {
            let mut answer = answer(status, &[("transfer-encoding", "chunked"), ("content-length", "0")]);
            assert!(!prepare(&mut answer, Version::HTTP_11));
            assert_eq!(names(&answer).len(), framed, "{status}");
        }
    }

    #[test]
    fn an_answer_that_could_be_read_in_two_ways_is_not_sound() {
        let current = |status, fields: &[(&'static str, &'static str)]| {
            let mut answer = answer(status, fields);
            answer.set_version(Version::HTTP_11);
            answer
        };
        for sound in [current(200, &[]), current(599, &[("transfer-encoding", "Chunked")]), answer(200, &[])] {
            assert!(is_sound(&sound), "{sound:?}");
        }
        for other in [
            current(600, &[]),
            current(200, &[("transfer-encoding", "gzip, chunked")]),
            current(200, &[("transfer-encoding", "identity")]),
            current(200, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
            answer(200, &[("transfer-encoding", "chunked")]),
        ] {
            assert!(!is_sound(&other), "{other:?}");
        }
        let mut seen = 0;
        assert_eq!((0..1000).filter(|_| count_interim(&mut seen)).count(), usize::from(MOST_INTERIM));
    }

    #[test]
    fn a_length_that_is_said_twice_is_said_once() {
        for fields in [&[("content-length", "2"), ("content-length", "2")][..], &[("content-length", "2, 2")]] {
            let mut answer = answer(200, fields);
            prepare(&mut answer, Version::HTTP_11);
            assert_eq!(answer.headers.get_all("content-length").iter().collect::<Vec<_>>(), ["2"]);
        }
    }

    #[test]
    fn an_old_client_gets_no_chunks() {
        let mut chunked = answer(200, &[("transfer-encoding", "chunked")]);
        assert!(!prepare(&mut chunked.clone(), Version::HTTP_2));
        assert!(prepare(&mut chunked, Version::HTTP_10));
        assert_eq!(names(&chunked), [""; 0]);
        assert!(!prepare(&mut answer(200, &[("content-length", "2")]), Version::HTTP_10));
    }
}
