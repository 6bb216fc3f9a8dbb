//! Which certificate a client gets: the one that holds the name it asks for (SNI, RFC 6066, section 3), or the first.
//!
//! A client that names no host, an address, or a host nobody knows gets the first certificate and judges for itself;
//! whether the host is served at all is decided later, from the request.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::edge::tls::Certificate;

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
