//! The response policy: the security fields of every answer, whichever tier made it and whatever its status.
//!
//! The gateway owns these fields. What the configuration sets replaces what the API sent, so that one place decides; what
//! it leaves empty is not touched, so that an answer may bring its own. Values are built when the configuration is
//! loaded and cloned by reference count per answer.
//!
//! `Strict-Transport-Security` is left out of answers to clients that do not speak TLS: RFC 6797 section 7.2 forbids it there.

pub mod compression;
pub mod compressor;
pub mod encoder;
pub mod entity_tag;
pub mod fields;
pub mod forward;
pub mod negotiation;

use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;

/// Fields that would tell a stranger what runs here.
const TELLTALE: [HeaderName; 6] = [
    header::SERVER,
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-aspnet-version"),
    HeaderName::from_static("x-aspnetmvc-version"),
    HeaderName::from_static("x-runtime"),
    HeaderName::from_static("x-generator"),
];

/// The security fields that a policy can set, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// RFC 6797.
    StrictTransportSecurity,
    /// W3C Content Security Policy.
    ContentSecurityPolicy,
    /// The `nosniff` of the Fetch standard.
    ContentTypeOptions,
    /// RFC 7034.
    FrameOptions,
    /// W3C Referrer Policy.
    ReferrerPolicy,
    /// W3C Permissions Policy.
    PermissionsPolicy,
    /// `Cross-Origin-Opener-Policy` of the HTML standard.
    CrossOriginOpenerPolicy,
    /// `Cross-Origin-Resource-Policy` of the Fetch standard.
    CrossOriginResourcePolicy,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 8] = [
        Self::StrictTransportSecurity,
        Self::ContentSecurityPolicy,
        Self::ContentTypeOptions,
        Self::FrameOptions,
        Self::ReferrerPolicy,
        Self::PermissionsPolicy,
        Self::CrossOriginOpenerPolicy,
        Self::CrossOriginResourcePolicy,
    ];

    /// The field's name.
    pub const fn name(self) -> HeaderName {
        match self {
            Self::StrictTransportSecurity => header::STRICT_TRANSPORT_SECURITY,
            Self::ContentSecurityPolicy => header::CONTENT_SECURITY_POLICY,
            Self::ContentTypeOptions => header::X_CONTENT_TYPE_OPTIONS,
            Self::FrameOptions => header::X_FRAME_OPTIONS,
            Self::ReferrerPolicy => header::REFERRER_POLICY,
            Self::PermissionsPolicy => const { HeaderName::from_static("permissions-policy") },
            Self::CrossOriginOpenerPolicy => const { HeaderName::from_static("cross-origin-opener-policy") },
            Self::CrossOriginResourcePolicy => const { HeaderName::from_static("cross-origin-resource-policy") },
        }
    }
}

/// The security fields of an answer.
#[derive(Debug, Clone, Default)]
pub struct ResponsePolicy {
    fields: Vec<(Field, HeaderValue)>,
}

impl ResponsePolicy {
    /// Sets these fields.
    pub const fn new(fields: Vec<(Field, HeaderValue)>) -> Self {
        Self { fields }
    }

    /// The fields and their values; on a plain connection without the one that needs TLS.
    pub fn fields(&self, over_tls: bool) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        self.fields
            .iter()
            .filter(move |(field, _)| over_tls || *field != Field::StrictTransportSecurity)
            .map(|(field, value)| (field.name(), value))
    }

    /// Puts an answer under this policy.
    ///
    /// # Errors
    /// Those of Pingora's header map, which has a bound of its own.
    pub fn apply(&self, answer: &mut ResponseHeader, over_tls: bool) -> pingora::Result<()> {
        hide_telltales(answer);
        for (name, value) in self.fields(over_tls) {
            answer.insert_header(name, value.clone())?;
        }
        Ok(())
    }
}

/// Removes what would tell a stranger what runs here: all that the policy asks of an interim answer (1xx).
pub fn hide_telltales(answer: &mut ResponseHeader) {
    forward::remove(answer, &TELLTALE);
}

/// Names a field of the request on which the answer depends (RFC 9110 section 12.5.5), unless that is said already.
///
/// # Errors
/// Those of Pingora's header map, which has a bound of its own.
pub fn vary_on(answer: &mut ResponseHeader, name: &HeaderName) -> pingora::Result<()> {
    let mut said = answer.headers.get_all(header::VARY).iter();
    let mut members =
        said.by_ref().flat_map(|value| value.as_bytes().split(|octet| *octet == b',')).map(<[u8]>::trim_ascii);
    if members.any(|member| member == b"*" || member.eq_ignore_ascii_case(name.as_str().as_bytes())) {
        return Ok(());
    }
    answer.append_header(header::VARY, name.as_str()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_named_once() {
        let named = |said: &[&str]| {
            let mut answer = ResponseHeader::build(200, None).expect("answer");
            for value in said {
                answer.append_header("vary", *value).expect("field");
            }
            vary_on(&mut answer, &header::ORIGIN).expect("named");
            answer
                .headers
                .get_all("vary")
                .iter()
                .map(|value| value.to_str().expect("text").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(named(&[]), ["origin"]);
        assert_eq!(named(&["Accept", "accept-language , ORIGIN"]), ["Accept", "accept-language , ORIGIN"]);
        assert_eq!(named(&["*"]), ["*"]);
        assert_eq!(named(&["x-origin"]), ["x-origin", "origin"]);
    }

    fn policy() -> ResponsePolicy {
        ResponsePolicy::new(vec![
            (Field::StrictTransportSecurity, HeaderValue::from_static("max-age=1")),
            (Field::FrameOptions, HeaderValue::from_static("DENY")),
        ])
    }

    #[test]
    fn the_policy_replaces_what_the_api_sent_and_removes_what_tells() {
        let mut answer = ResponseHeader::build(200, None).expect("answer");
        for (name, value) in [("server", "x"), ("x-powered-by", "x"), ("x-frame-options", "ALLOW"), ("etag", "\"1\"")] {
            answer.insert_header(name, value).expect("field");
        }
        answer.append_header("x-frame-options", "ALLOW").expect("field");
        policy().apply(&mut answer, true).expect("applied");
        assert_eq!(answer.headers.get_all("x-frame-options").iter().collect::<Vec<_>>(), ["DENY"]);
        assert_eq!(answer.headers["etag"], "\"1\"");
        assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("x-powered-by"));
        assert!(answer.headers.contains_key("strict-transport-security"));
    }

    #[test]
    fn a_plain_connection_promises_no_tls() {
        let names: Vec<_> = policy().fields(false).map(|(name, _)| name).collect();
        assert_eq!(names, [header::X_FRAME_OPTIONS]);
    }
}
