//! Trusted hosts: which names this gateway answers for.
//!
//! A host that nobody configured is either a mistake or an attempt to poison links, caches or redirects, so it is
//! refused before any route is looked at. All three places in which a request can name its host (`Host`, `:authority`,
//! the absolute form of the target) must say the same.

use std::{net::Ipv6Addr, str::FromStr};

use crate::request::authority::{Authority, Host, parse_port, split};

/// The port of `https`, which an authority may leave out.
const DEFAULT_PORT: u16 = 443;

/// One trusted host: `example.org`, `*.example.org`, `*`; each alone (the default port only), with `:8443`, or with
/// `:*` for any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: NamePattern,
    port: PortRule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    Any,
    Exact(Box<str>),
    V6(Ipv6Addr),
    /// The suffix with its leading dot: one label or more must stand before it.
    Suffix(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortRule {
    Any,
    Default,
    Exactly(u16),
}

impl HostPattern {
    /// Whether it trusts every host, which production refuses.
    pub fn is_wildcard(&self) -> bool {
        self.name == NamePattern::Any
    }

    /// For sorting: an exact name before a suffix, a suffix before any.
    pub const fn breadth(&self) -> u8 {
        match self.name {
            NamePattern::Exact(_) | NamePattern::V6(_) => 0,
            NamePattern::Suffix(_) => 1,
            NamePattern::Any => 2,
        }
    }

    fn matches(&self, authority: &Authority<'_>) -> bool {
        let port = match self.port {
            PortRule::Any => true,
            PortRule::Default => authority.port.is_none_or(|port| port == DEFAULT_PORT),
            PortRule::Exactly(port) => authority.port.unwrap_or(DEFAULT_PORT) == port,
        };
        port && self.matches_name(authority)
    }

    /// Whether the name fits, on whatever port: for routes, whose hosts were found trusted before.
    pub fn matches_name(&self, authority: &Authority<'_>) -> bool {
        match (&self.name, authority.host) {
            (NamePattern::Any, _) => true,
            (NamePattern::Exact(expected), Host::Name(name)) => expected.eq_ignore_ascii_case(name),
            (NamePattern::V6(expected), Host::V6(address)) => *expected == address,
            (NamePattern::Suffix(suffix), Host::Name(name)) => {
                name.len() > suffix.len()
                    && name
                        .len()
                        .checked_sub(suffix.len())
                        .and_then(|at| name.get(at..))
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            (NamePattern::Exact(_) | NamePattern::Suffix(_), Host::V6(_)) | (NamePattern::V6(_), Host::Name(_)) => {
                false
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` is not a host: write `example.org`, `*.example.org` or `[::1]`, alone or with `:8443` or `:*`"
            )
        };
        let (host, port) = split(text).ok_or_else(wrong)?;
        let port = match port {
            None => PortRule::Default,
            Some("*") => PortRule::Any,
            Some(digits) => PortRule::Exactly(parse_port(digits).ok_or_else(wrong)?),
        };
        let name = match (host, host.strip_prefix("*.")) {
            ("*", _) => NamePattern::Any,
            (_, Some(suffix)) => match Host::parse(suffix) {
                Some(Host::Name(name)) => NamePattern::Suffix(format!(".{}", name.to_ascii_lowercase()).into()),
                _ => return Err(wrong()),
            },
            (_, None) => match Host::parse(host).ok_or_else(wrong)? {
                Host::Name(name) => NamePattern::Exact(name.to_ascii_lowercase().into()),
                Host::V6(address) => NamePattern::V6(address),
            },
        };
        Ok(Self { name, port })
    }
}

/// What happens to a request for a host that is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUntrusted {
    /// 421 `host_untrusted`.
    Refuse,
    /// The connection is closed without an answer, as if nobody were here.
    Drop,
}

impl FromStr for OnUntrusted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "drop" => Ok(Self::Drop),
            _ => Err("expected `refuse` or `drop`".to_owned()),
        }
    }
}

/// Why a request's host is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRefusal {
    /// It names no host, or nothing that is one: 400.
    Malformed,
    /// The places that name the host contradict each other, or nobody trusts it: 421.
    Untrusted,
}

/// The trusted hosts of a configuration. A handful: they are compared one by one.
#[derive(Debug, Clone)]
pub struct TrustedHosts {
    patterns: Vec<HostPattern>,
    /// What to do with the others.
    pub on_untrusted: OnUntrusted,
}

impl TrustedHosts {
    /// Trusts what any of the patterns matches.
    pub const fn new(patterns: Vec<HostPattern>, on_untrusted: OnUntrusted) -> Self {
        Self { patterns, on_untrusted }
    }

    /// The trusted host of a request, from its `Host` field and the authority of its target, where it has them.
    ///
    /// # Errors
    /// [`HostRefusal`] where it names none, two, or one that is not trusted.
    pub fn check<'a>(&self, field: Option<&'a str>, target: Option<&'a str>) -> Result<Authority<'a>, HostRefusal> {
        let parse = |text| Authority::parse(text).ok_or(HostRefusal::Malformed);
        let authority = match (field, target) {
            (None, None) => return Err(HostRefusal::Malformed),
            (Some(one), None) | (None, Some(one)) => parse(one)?,
            (Some(field), Some(target)) => {
                let (field, target) = (parse(field)?, parse(target)?);
                if field != target {
                    return Err(HostRefusal::Untrusted);
                }
                target
            }
        };
        let trusted = self.patterns.iter().any(|pattern| pattern.matches(&authority));
        if trusted { Ok(authority) } else { Err(HostRefusal::Untrusted) }
    }

    /// Whether the host is trusted on some port: for the redirect from the plain port, which puts the port right.
    pub fn trusts_name(&self, authority: &Authority<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches_name(authority))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted(patterns: &[&str]) -> TrustedHosts {
        let patterns = patterns.iter().map(|text| text.parse().expect("pattern")).collect();
        TrustedHosts::new(patterns, OnUntrusted::Refuse)
    }

    fn trusts(pattern: &str, host: &str) -> bool {
        trusted(&[pattern]).check(Some(host), None).is_ok()
    }

    #[test]
    fn names_match_without_regard_to_case_and_nothing_else() {
        assert!(trusts("example.org", "EXAMPLE.org"));
        for host in ["example.org.", "xexample.org", "example.orgx", "a.example.org", "example", "example.org.evil.net"]
        {
            assert!(!trusts("example.org", host), "{host}");
        }
    }

    #[test]
    fn a_suffix_wants_a_label_before_it() {
        assert!(trusts("*.example.org", "a.example.org") && trusts("*.example.org", "a.b.Example.ORG"));
        for host in ["example.org", ".example.org", "aexample.org", "a.example.org.net"] {
            assert!(!trusts("*.example.org", host), "{host}");
        }
    }

    #[test]
    fn ports_follow_their_rule() {
        assert!(trusts("h", "h") && trusts("h", "h:443") && !trusts("h", "h:8443"));
        assert!(trusts("h:8443", "h:8443") && !trusts("h:8443", "h") && !trusts("h:8443", "h:8444"));
        assert!(trusts("h:443", "h"));
        assert!(trusts("h:*", "h") && trusts("h:*", "h:1"));
        assert!(trusts("[::1]:*", "[::1]:8443") && trusts("[::1]", "[0:0:0:0:0:0:0:1]") && !trusts("[::1]", "[::2]"));
    }

    #[test]
    fn malformed_is_told_from_untrusted() {
        let hosts = trusted(&["h"]);
        let malformed =
            ["", "h:", "h:x", "h:65536", "h:+1", "u@h", "h/", "[::1", "::1", "h h", "[::1]x", "a..b", "[::1]:"];
        for host in malformed {
            assert_eq!(hosts.check(Some(host), None), Err(HostRefusal::Malformed), "{host:?}");
        }
        assert_eq!(hosts.check(None, None), Err(HostRefusal::Malformed));
        assert_eq!(hosts.check(Some("other"), None), Err(HostRefusal::Untrusted));
    }

    #[test]
    fn all_places_must_agree() {
        let hosts = trusted(&["a:*", "b:*"]);
        assert!(hosts.check(Some("A"), Some("a")).is_ok());
        assert_eq!(hosts.check(Some("a"), Some("b")), Err(HostRefusal::Untrusted));
        assert_eq!(hosts.check(Some("a:1"), Some("a:2")), Err(HostRefusal::Untrusted));
    }

    #[test]
    fn nonsense_is_no_pattern() {
        for text in ["", "*.", "*.*", "a*", "**", "http://a", "a:b", "a b", "*.[::1]", "a/"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        assert!("*:*".parse::<HostPattern>().is_ok_and(|pattern| pattern.is_wildcard()));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(host in any::<String>(), pattern in any::<String>()) {
            let _ = Authority::parse(&host);
            let _ = pattern.parse::<HostPattern>();
        }

        #[test]
        fn a_trusted_suffix_is_always_preceded_by_a_dot(prefix in "[a-z.-]{0,10}") {
            let host = format!("{prefix}example.org");
            if trusts("*.example.org", &host) {
                prop_assert!(prefix.ends_with('.') && prefix.len() > 1);
            }
        }
    }
}
