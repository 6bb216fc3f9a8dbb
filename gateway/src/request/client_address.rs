//! The address of the client: the right-most hop that is not one of our own proxies.
//!
//! A forwarding field is read from the right, because only its right end was written by somebody we trust: whatever a
//! client puts in stands further left, and is never reached. Reading stops at the first hop that is not trusted, at
//! anything malformed, and after [`MOST_HOPS`]; then the last trusted hop that was reached stands for the client.
//!
//! **One field, named in the configuration.** A proxy that appends to `X-Forwarded-For` passes a client's `Forwarded`
//! on unread, and the other way round: a gateway that reads both trusts whoever writes the other one.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

/// The most hops that are followed, and the bound on the work that a field can cause.
const MOST_HOPS: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Which field the trusted proxies write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingField {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for ForwardingField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("expected `x-forwarded-for` or `forwarded`".to_owned()),
        }
    }
}

/// Whom to believe about the client's address.
#[derive(Debug, Clone)]
pub struct ClientAddressRule {
    trusted: Vec<IpNet>,
    field: ForwardingField,
}

impl ClientAddressRule {
    /// Believes the named field, as far as these networks wrote it.
    pub const fn new(trusted: Vec<IpNet>, field: ForwardingField) -> Self {
        Self { trusted, field }
    }

    /// Whether the peer is one of our own proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Whether anybody is.
    pub const fn trusts_any(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Whether a trusted peer says that the client speaks TLS with it: the right-most word of `X-Forwarded-Proto`, or of
    /// `proto` in `Forwarded` where that is the field.
    pub fn says_tls(&self, headers: &HeaderMap) -> bool {
        let name = match self.field {
            ForwardingField::XForwardedFor => X_FORWARDED_PROTO,
            ForwardingField::Forwarded => header::FORWARDED,
        };
        let last = headers.get_all(name).iter().next_back();
        let Some(word) = last.and_then(|value| elements_from_the_right(value).next()).flatten() else { return false };
        let scheme = match self.field {
            ForwardingField::XForwardedFor => Some(word),
            ForwardingField::Forwarded => word.split(';').find_map(|pair| {
                let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
                name.eq_ignore_ascii_case("proto").then(|| value.trim_matches('"'))
            }),
        };
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// The client's address, for a connection from `peer`.
    pub fn resolve(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let (name, read): (HeaderName, fn(&str) -> Option<IpAddr>) = match self.field {
            ForwardingField::XForwardedFor => (X_FORWARDED_FOR, node),
            ForwardingField::Forwarded => (header::FORWARDED, forwarded_element),
        };
        let mut last_trusted = peer;
        let from_the_right = headers.get_all(name).iter().rev().flat_map(elements_from_the_right);
        for element in from_the_right.take(MOST_HOPS) {
            match element.and_then(read) {
                None => break,
                Some(hop) if self.trusts(hop) => last_trusted = hop,
                Some(hop) => return hop,
            }
        }
        last_trusted
    }
}

/// The list's elements, last first; `None` for one that is not text. The octets are split before they are read, so that
/// what a client wrote cannot make the proxy's own element unreadable. A comma in a quoted string splits it too, which
/// leaves two halves that no reader accepts: the walk stops, as it should.
fn elements_from_the_right(value: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let elements = value.as_bytes().rsplit(|octet| *octet == b',');
    elements.map(|element| std::str::from_utf8(element).ok().map(|text| text.trim_matches([' ', '\t'])))
}

/// `for=` of one `forwarded-element` (RFC 7239 section 4).
fn forwarded_element(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?,
                None => value,
            };
            // A parameter must not occur twice in an element.
            if found.replace(node(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

/// An address, with or without a port; IPv6 with a port in brackets. `unknown` and `_hidden` are nobody's address.
fn node(text: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Some((address, port)) = text.split_once(':').filter(|(_, port)| !port.contains(':')) {
        is_port(port).then(|| address.parse().ok()).flatten().map(IpAddr::V4)?
    } else {
        text.parse().ok()?
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(field: ForwardingField, name: &'static str, peer: &str, values: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"].map(|text| text.parse().expect("network"));
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
        }
        let rule = ClientAddressRule::new(trusted.to_vec(), field);
        rule.resolve(peer.parse().expect("address"), &headers).to_string()
    }

    #[test]
    fn the_last_word_about_tls_counts() {
        let says = |field, name: &'static str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, HeaderValue::from_str(value).expect("value"));
            }
            ClientAddressRule::new(Vec::new(), field).says_tls(&headers)
        };
        for (values, expected) in [
            (&["https"][..], true),
            (&["HTTPS"], true),
            (&["http, https"], true),
            (&["https", "http"], false),
            (&["https, http"], false),
            (&["httpss"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(says(ForwardingField::XForwardedFor, "x-forwarded-proto", values), expected, "{values:?}");
        }
        for (values, expected) in [
            (&["for=1.2.3.4;proto=https"][..], true),
            (&["for=1.2.3.4; Proto=\"https\""], true),
            (&["proto=https, for=1.2.3.4"], false),
            (&["for=1.2.3.4;proto=http"], false),
        ] {
            assert_eq!(says(ForwardingField::Forwarded, "forwarded", values), expected, "{values:?}");
            assert!(!says(ForwardingField::XForwardedFor, "forwarded", values), "the other field is not read");
        }
    }

    fn x_forwarded_for(peer: &str, values: &[&str]) -> String {
        resolve(ForwardingField::XForwardedFor, "x-forwarded-for", peer, values)
    }

    fn forwarded(peer: &str, values: &[&str]) -> String {
        resolve(ForwardingField::Forwarded, "forwarded", peer, values)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(x_forwarded_for("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        assert_eq!(x_forwarded_for("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(x_forwarded_for("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.1.1.1"]), "203.0.113.9");
        assert_eq!(x_forwarded_for("10.0.0.1", &["1.2.3.4", "203.0.113.9", "10.1.1.1 ,10.1.1.2"]), "203.0.113.9");
        assert_eq!(x_forwarded_for("10.0.0.1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(x_forwarded_for("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(x_forwarded_for("10.0.0.1", &["203.0.113.9:1234"]), "203.0.113.9");
        assert_eq!(x_forwarded_for("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn the_walk_stops_at_anything_malformed() {
        for bad in
            ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "[::1", "[::1]x", "\u{e9}", "1.2.3.4:", "1.2.3.4:99999"]
        {
            let value = format!("203.0.113.9, {bad}, 10.1.1.1");
            assert_eq!(x_forwarded_for("10.0.0.1", &[&value]), "10.1.1.1", "{bad:?}");
        }
        assert_eq!(x_forwarded_for("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn only_so_many_hops_are_followed() {
        let value = format!("203.0.113.9{}", ", 10.0.0.2".repeat(MOST_HOPS));
        assert_eq!(x_forwarded_for("10.0.0.1", &[&value]), "10.0.0.2");
        // The bound counts from the right as well: fields that a client piles up on the left do not use it up.
        let mut fields = vec!["198.51.100.7"; MOST_HOPS + 1];
        fields.push("203.0.113.9");
        assert_eq!(x_forwarded_for("10.0.0.1", &fields), "203.0.113.9");
    }

    #[test]
    fn the_standard_field_is_read_with_its_quotes() {
        assert_eq!(forwarded("10.0.0.1", &["for=203.0.113.9;proto=https, for=10.1.1.1"]), "203.0.113.9");
        assert_eq!(forwarded("10.0.0.1", &["proto=https; For=\"[2001:db8::1]:443\""]), "2001:db8::1");
        assert_eq!(forwarded("10.0.0.1", &["for=1.2.3.4", "for=203.0.113.9"]), "203.0.113.9");
        for bad in ["for=unknown", "by=1.2.3.4", "for=\"1.2.3.4", "for=1.2.3.4;for=1.2.3.4", "1.2.3.4", "for=\"a,b\""] {
            let value = format!("for=203.0.113.9, {bad}, for=10.1.1.1");
            assert_eq!(forwarded("10.0.0.1", &[&value]), "10.1.1.1", "{bad}");
        }
    }

    #[test]
    fn the_other_field_is_not_looked_at() {
        assert_eq!(resolve(ForwardingField::Forwarded, "x-forwarded-for", "10.0.0.1", &["203.0.113.9"]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_further_left_changes_nothing(forged in "[ -~]{0,40}") {
            let value = format!("{forged}, 203.0.113.9");
            prop_assert_eq!(x_forwarded_for("10.0.0.1", &[&value]), "203.0.113.9");
            let value = format!("{forged}, for=203.0.113.9");
            prop_assert_eq!(forwarded("10.0.0.1", &[&value]), "203.0.113.9");
        }

        #[test]
        fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&octets) {
                let mut headers = HeaderMap::new();
                headers.insert("x-forwarded-for", value.clone());
                headers.insert("forwarded", value);
                for field in [ForwardingField::XForwardedFor, ForwardingField::Forwarded] {
                    let rule = ClientAddressRule::new(vec!["10.0.0.0/8".parse().expect("network")], field);
                    let _ = rule.resolve("10.0.0.1".parse().expect("address"), &headers);
                }
            }
        }
    }
}
