//! What of the API's answer goes on: fields that speak of the connection to the API end here, and the message is made to
//! fit the client's version of HTTP. What Pingora passes on as it came would otherwise reach the client as our word.

use http::{HeaderName, StatusCode, Version, header};
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
    let is_chunked = answer.headers.contains_key(header::TRANSFER_ENCODING);
    let ends_with_connection = is_chunked && client == Version::HTTP_10;
    if ends_with_connection {
        // RFC 9112 section 6.1: a client of HTTP/1.0 does not know chunks.
        answer.remove_header(&header::TRANSFER_ENCODING);
    }
    ends_with_connection
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
    fn an_old_client_gets_no_chunks() {
        let mut chunked = answer(200, &[("transfer-encoding", "chunked")]);
        assert!(!prepare(&mut chunked.clone(), Version::HTTP_2));
        assert!(prepare(&mut chunked, Version::HTTP_10));
        assert_eq!(names(&chunked), [""; 0]);
        assert!(!prepare(&mut answer(200, &[("content-length", "2")]), Version::HTTP_10));
    }
}
