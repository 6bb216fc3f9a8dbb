//! The authority that a request names: host and port, read strictly (RFC 3986 section 3.2).
//!
//! What is not read here never gets into a link, a log or a `Location`: no user information, no empty port, no octet
//! that a host name cannot have.

use std::{fmt, net::Ipv6Addr};

/// A host and its port as a request names them (RFC 3986 section 3.2.2 without user information).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    pub(super) host: Host<'a>,
    pub(super) port: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Host<'a> {
    /// A name or an IPv4 address, compared without regard to case.
    Name(&'a str),
    /// An IPv6 address: `[::1]` and `[0:0:0:0:0:0:0:1]` are the same host.
    V6(Ipv6Addr),
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(left), Self::Name(right)) => left.eq_ignore_ascii_case(right),
            (Self::V6(left), Self::V6(right)) => left == right,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = split(text)?;
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => None,
        };
        Some(Self { host: Host::parse(host)?, port })
    }

    /// The host alone, with the brackets of an IPv6 address, in lower case.
    pub fn host_text(&self) -> String {
        match self.host {
            Host::Name(name) => name.to_ascii_lowercase(),
            Host::V6(address) => format!("[{address}]"),
        }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host_text())?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl<'a> Host<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        };
        (text.len() <= 253 && text.split('.').all(is_label)).then_some(Self::Name(text))
    }
}

pub(super) fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at_checked(end)?;
        return match rest {
            "" => Some((host, None)),
            _ => rest.strip_prefix(':').map(|port| (host, Some(port))),
        };
    }
    Some(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

pub(super) fn parse_port(digits: &str) -> Option<u16> {
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_the_spelling_of_an_address_make_no_difference() {
        assert_eq!(Authority::parse("A.example:1"), Authority::parse("a.EXAMPLE:1"));
        assert_eq!(Authority::parse("[::1]"), Authority::parse("[0:0:0:0:0:0:0:1]"));
        assert_ne!(Authority::parse("a:1"), Authority::parse("a"));
        assert_eq!(
            Authority::parse("LOCALHOST:8443").map(|authority| authority.to_string()).as_deref(),
            Some("localhost:8443")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = Authority::parse(&text);
        }

        #[test]
        fn what_is_written_reads_back(host in "[a-zA-Z0-9-]{1,12}(\\.[a-z0-9]{1,5}){0,3}", port in proptest::option::of(any::<u16>())) {
            let text = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            let authority = Authority::parse(&text).expect("valid");
            let written = authority.to_string();
            prop_assert_eq!(Authority::parse(&written), Some(authority));
        }
    }
}
