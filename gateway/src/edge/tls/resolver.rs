//! Which certificate a client gets: the one that holds the name it asks for (SNI, RFC 6066, section 3), or the first.
//!
//! A client that names no host, an address, or a host nobody knows gets the first certificate and judges for itself;
//! whether the host is served at all is decided later, from the request.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::edge::tls::certificates::Certificate;

/// The certificates by name.
#[derive(Debug)]
pub(super) struct Resolver {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// `example.org` for `*.example.org`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Resolver {
    /// `None` without a certificate. Where two hold the same name, the earlier one has it.
    pub(super) fn new(certificates: Vec<Certificate>) -> Option<Self> {
        let default = Arc::clone(certificates.first()?.key());
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in &certificates {
            for name in certificate.dns_names() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, name),
                };
                names.entry(name.to_owned()).or_insert_with(|| Arc::clone(certificate.key()));
            }
        }
        Some(Self { exact, wildcard, default })
    }

    /// The certificate for `name`. A wildcard stands for exactly one label (RFC 9525, section 6.3), and a name of its
    /// own comes before it.
    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = if name.bytes().any(|octet| octet.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        self.exact.get(&*name).or_else(|| self.find_wildcard(&name)).unwrap_or(&self.default)
    }

    fn find_wildcard(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let (label, parent) = name.split_once('.')?;
        if label.is_empty() { None } else { self.wildcard.get(parent) }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = hello.server_name().map_or(&self.default, |name| self.find(name));
        Some(Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::edge::tls::{
        provider,
        testing::{files, lone, today},
    };

    /// A resolver of one certificate for each list of names, and their keys.
    fn resolver(certificates: &[&[&str]]) -> (Resolver, Vec<Arc<CertifiedKey>>) {
        let load = |names: &&[&str]| {
            let (directory, made) = (TempDir::new().unwrap(), lone(names));
            let files = files(directory.path(), "server", &made.pem, &made.key);
            Certificate::load(&files, &provider(), today()).unwrap()
        };
        let certificates: Vec<_> = certificates.iter().map(load).collect();
        let keys = certificates.iter().map(|certificate| Arc::clone(certificate.key())).collect();
        (Resolver::new(certificates).unwrap(), keys)
    }

    #[test]
    fn names_find_their_certificate() {
        let (resolver, keys) = resolver(&[
            &["default.example"],
            &["*.example.org", "example.org"],
            &["api.Example.org", "*.api.example.org"],
            &["example.org", "late.example", "f*.partial.example", "127.0.0.1"],
        ]);
        for (name, expected) in [
            ("default.example", 0),
            ("example.org", 1),
            ("www.example.org", 1),
            ("WWW.Example.ORG", 1),
            ("api.example.org", 2),
            ("v1.api.example.org", 2),
            ("a.v1.api.example.org", 0),
            ("a.www.example.org", 0),
            (".example.org", 0),
            ("late.example", 3),
            ("foo.partial.example", 0),
            ("org", 0),
            ("127.0.0.1", 0),
            ("", 0),
        ] {
            assert!(Arc::ptr_eq(resolver.find(name), &keys[expected]), "{name}");
        }
    }

    #[test]
    fn without_certificates_there_is_no_resolver() {
        assert!(Resolver::new(Vec::new()).is_none());
    }

    proptest! {
        // making a certificate takes a while
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against the rule as RFC 9525, section 6.3, has it: label by label.
        #[test]
        fn a_wildcard_stands_for_exactly_one_label(
            pattern in "[ab]{1,2}(\\.[ab]){0,2}",
            name in "[abAB]{1,2}(\\.[abAB]){0,3}",
        ) {
            let (resolver, keys) = resolver(&[&["default.example"], &[&format!("*.{pattern}")]]);
            let labels: Vec<_> = name.split('.').collect();
            let parent: Vec<_> = pattern.split('.').collect();
            let matches = labels.len() == parent.len() + 1
                && labels.iter().skip(1).zip(&parent).all(|(label, expected)| label.eq_ignore_ascii_case(expected));
            prop_assert!(Arc::ptr_eq(resolver.find(&name), &keys[usize::from(matches)]));
        }
    }
}
