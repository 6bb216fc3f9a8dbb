//! Which certificate a client gets: by the name it asks for (SNI), the first one where no name fits.

use std::{collections::HashMap, fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::edge::tls::certificate::{Name, Served};

/// Certificates by name. An exact name wins over a wildcard, an earlier certificate over a later one.
pub(super) struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`, which stands for exactly one label (RFC 9525 section 6.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn new(pairs: Vec<(Arc<CertifiedKey>, Served)>) -> Self {
        let default = pairs.first().map(|(key, _)| key.clone());
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (key, served) in pairs {
            for name in served.names {
                match name {
                    Name::Exact(name) => drop(exact.entry(name).or_insert_with(|| key.clone())),
                    Name::Wildcard(rest) => drop(wildcard.entry(rest).or_insert_with(|| key.clone())),
                    Name::Address(_) => {}
                }
            }
        }
        Self { exact, wildcard, default }
    }

    /// The certificate for a name in lower case.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let by_wildcard = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        self.exact.get(name).or_else(by_wildcard).or(self.default.as_ref())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls hands the name over in lower case; it refuses what is no host name.
        hello.server_name().map_or(self.default.as_ref(), |name| self.find(name)).cloned()
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ByName")
            .field("exact", &self.exact.keys())
            .field("wildcard", &self.wildcard.keys())
            .finish_non_exhaustive()
    }
}
