//! The parsers of a request's parts.

#[path = "../../gateway/src/request/authority.rs"]
mod authority;
#[path = "../../gateway/src/request/client_address.rs"]
mod client_addresses;
#[path = "../../gateway/src/request/host.rs"]
mod hosts;
#[path = "../../gateway/src/request/path.rs"]
mod paths;
#[path = "../../gateway/src/request/target.rs"]
mod target;

use std::net::IpAddr;

use authority::Authority;
use client_addresses::{ClientAddressRule, ForwardingField};
use hosts::{HostPattern, OnUntrusted, TrustedHosts};
use http::{HeaderMap, HeaderName, HeaderValue};
use target::Target;

/// The path rule: one form, which stays as it is, means the same, and leaves nothing that could be read in two ways; and
/// the target around it is taken apart and put together without a change.
pub fn path(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Some(target) = Target::parse(text) {
        assert!(target.path.starts_with('/') && !target.path.contains('?'));
        let written = target.with_path(target.path);
        let again = Target::parse(&written);
        assert_eq!(again.as_ref().map(|again| again.path), Some(target.path));
        assert_eq!(again.map(|again| again.with_path("/")), Some(target.with_path("/")));
    }
    let Ok(once) = paths::normalise(text) else { return };
    assert_eq!(paths::normalise(&once).as_deref(), Ok(&*once), "normalising twice");
    assert_eq!(decoded(&once), decoded(text), "another path");
    assert!(once.starts_with('/') && !once.contains("//") && once.is_ascii());
    let whole = decoded(&once);
    assert!(!whole.iter().any(|octet| octet.is_ascii_control() || *octet == b'\\'));
    assert_eq!(whole.iter().filter(|octet| **octet == b'/').count(), once.matches('/').count(), "an escaped slash");
    assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
    let uri: http::Uri = once.parse().expect("a path is a target");
    assert_eq!((uri.path(), uri.query()), (&*once, None));
}

/// Every escape written out.
fn decoded(path: &str) -> Vec<u8> {
    let mut octets = path.bytes();
    let mut whole = Vec::new();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let digits = [octets.next(), octets.next()].map(|octet| char::from(octet.expect("a whole escape")));
            let value = digits.map(|digit| digit.to_digit(16).expect("a digit"));
            whole.push(u8::try_from(value[0] << 4 | value[1]).expect("an octet"));
        } else {
            whole.push(octet);
        }
    }
    whole
}

/// Hosts: what is read is written as the same host, and what is trusted is what a plain comparison trusts. The lines are a
/// `Host` field, the authority of a target, and a pattern.
pub fn host(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let mut lines = text.split('\n');
    let (field, authority, pattern) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    if let Some(pattern) = pattern.and_then(|pattern| pattern.parse::<HostPattern>().ok()) {
        assert!(pattern.breadth() <= 2 && pattern.is_wildcard() == (pattern.breadth() == 2));
    }
    if let Some(host) = Authority::parse(field) {
        let written = host.to_string();
        assert_eq!(Authority::parse(&written), Some(host));
        assert!(HeaderValue::from_str(&written).is_ok() && !written.contains(['@', '/', ' ', '%', '\\']));
        assert_eq!(written, written.to_ascii_lowercase());
    }
    let patterns = ["example.org", "*.example.org:8443", "[::1]:*"].map(|text| text.parse().expect("a pattern"));
    let hosts = TrustedHosts::new(patterns.to_vec(), OnUntrusted::Refuse);
    if let Ok(host) = hosts.check(Some(field), authority) {
        let written = host.to_string();
        let (name, port) = match written.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (&*written, None),
        };
        let by_suffix =
            name.strip_suffix(".example.org").is_some_and(|label| !label.is_empty()) && port == Some("8443");
        assert!(
            name == "[::1]" || by_suffix || (name == "example.org" && port.is_none_or(|port| port == "443")),
            "{written}"
        );
        assert_eq!(Authority::parse(field), Some(host));
        assert!(authority.is_none_or(|authority| Authority::parse(authority) == Some(host)), "two hosts at once");
        assert!(hosts.trusts_name(&host));
    }
}

const ANSWER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

/// `X-Forwarded-For` and `Forwarded`: a stranger is not believed, and whatever stands left of what our own proxy wrote
/// changes nothing. The first octet chooses the field, the lines are its values.
pub fn client_address(octets: &[u8]) {
    let Some((choice, values)) = octets.split_first() else { return };
    let (rule, name, own) = if choice % 2 == 0 {
        (ForwardingField::XForwardedFor, HeaderName::from_static("x-forwarded-for"), "203.0.113.9")
    } else {
        (ForwardingField::Forwarded, http::header::FORWARDED, "proto=https;for=203.0.113.9")
    };
    let rule = ClientAddressRule::new(vec!["10.0.0.0/8".parse().expect("a network")], rule);
    let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    let mut headers = HeaderMap::new();
    let mut elements = 0;
    for value in values.split(|octet| *octet == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        elements += 1 + value.as_bytes().iter().filter(|octet| **octet == b',').count();
        headers.append(name.clone(), value);
    }
    assert_eq!(rule.resolve(stranger, &headers), stranger);
    let client = rule.resolve(proxy, &headers);
    assert_eq!(client, client.to_canonical(), "one spelling of an address");
    let mut longer = headers.clone();
    longer.append(name.clone(), HeaderValue::from_static(own));
    assert_eq!(rule.resolve(proxy, &longer), ANSWER);
    // Appended by the proxy to the client's own field instead of beside it.
    if let Some(last) = headers.get_all(&name).iter().next_back() {
        let joined = [last.as_bytes(), b", ", own.as_bytes()].concat();
        let mut headers = HeaderMap::new();
        headers.insert(&name, HeaderValue::from_bytes(&joined).expect("a value"));
        assert_eq!(rule.resolve(proxy, &headers), ANSWER);
    }
    // One more of our own proxies changes only who stands for a client that is not named.
    let mut longer = headers;
    longer.append(name, HeaderValue::from_static(if choice % 2 == 0 { "10.9.9.9" } else { "for=10.9.9.9" }));
    if elements < 30 {
        let again = rule.resolve(proxy, &longer);
        assert!(again == client || (client == proxy && again == IpAddr::from([10, 9, 9, 9])), "{client} and {again}");
    }
}
