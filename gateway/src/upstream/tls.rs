//! TLS to an upstream's addresses: whom to trust, which name to expect, and who we are.
//!
//! Pingora takes a peer without a name as one that need not be verified. So there is no such peer: whoever turns TLS on
//! names the server and the authority, and an upstream of which either is missing or unreadable is not loaded. Checks
//! speak the same TLS, with the same authority, name and client certificate.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use pingora::upstreams::peer::HttpPeer;
use pingora_core::{
    protocols::tls::CaType,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::edge::tls::provider;

/// Where the parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The name that the server's certificate has to hold.
    pub server_name: String,
    /// Certificates of the authorities that are trusted, in PEM form.
    pub authority: PathBuf,
    /// The client's certificate, with its chain, and its key; both in PEM form.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why TLS cannot be spoken: which key is at fault, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TlsError {
    /// The key of the configuration.
    pub key: &'static str,
    problem: String,
}

/// TLS to the addresses of an upstream.
#[derive(Clone)]
pub struct UpstreamTls {
    /// What it was made of.
    pub files: TlsFiles,
    /// The name as rustls takes it.
    pub server_name: ServerName<'static>,
    /// How checks speak it.
    pub checks: Arc<ClientConfig>,
    authorities: Arc<CaType>,
    client: Option<Arc<CertKey>>,
    /// Which connections of Pingora's pool are these: it does not look at the authority itself.
    identity: u64,
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UpstreamTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Two are the same if they were made of the same files with the same contents.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.identity == other.identity
    }
}

impl Eq for UpstreamTls {}

impl UpstreamTls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let fail = |key, problem: String| TlsError { key, problem };
        let server_name = ServerName::try_from(files.server_name.clone())
            .map_err(|_| fail("server_name", format!("`{}` is not a host's name", files.server_name)))?;
        let mut identity = DefaultHasher::new();

        let authorities = certificates(&files.authority).map_err(|problem| fail("authority", problem))?;
        authorities.hash(&mut identity);
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            let refused =
                |_| fail("authority", format!("{} holds no authority's certificate", files.authority.display()));
            roots.add(authority.clone()).map_err(refused)?;
        }
        let wrapped = authorities.into_iter().map(|authority| WrappedX509::new(authority.to_vec(), parse_x509));

        let unusable = |error: rustls::Error| fail("certificate", error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?
            .with_root_certificates(roots);
        let (checks, client) = match &files.client {
            None => (builder.with_no_client_auth(), None),
            Some((certificate, key)) => {
                let chain = certificates(certificate).map_err(|problem| fail("certificate", problem))?;
                let unreadable = |error| fail("key", format!("cannot read {}: {error}", key.display()));
                let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
                chain.hash(&mut identity);
                let ours = CertKey::new(chain.iter().map(|one| one.to_vec()).collect(), private.secret_der().to_vec());
                let checks = builder.with_client_auth_cert(chain, private).map_err(unusable)?;
                (checks, Some(Arc::new(ours)))
            }
        };
        files.server_name.hash(&mut identity);
        Ok(Self {
            server_name,
            checks: Arc::new(checks),
            authorities: wrapped.collect(),
            client,
            identity: identity.finish(),
            files,
        })
    }

    /// The files it was made of.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let client = self.files.client.iter().flat_map(|(certificate, key)| [&**certificate, &**key]);
        std::iter::once(&*self.files.authority).chain(client)
    }

    pub(super) fn peer(&self, address: SocketAddr) -> HttpPeer {
        let mut peer = HttpPeer::new(address, true, self.files.server_name.clone());
        peer.options.verify_cert = true;
        peer.options.verify_hostname = true;
        peer.options.ca = Some(Arc::clone(&self.authorities));
        peer.client_cert_key.clone_from(&self.client);
        peer.group_key = self.identity;
        peer
    }
}

/// The certificates of a file; at least one. Each is parsed, because Pingora stops the process at one that cannot be.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let text = fs::read(file).map_err(unreadable)?;
    let broken = |_| format!("{} is not a list of certificates in PEM form", file.display());
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(broken)?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", file.display()));
    }
    if found.iter().any(|one| X509Certificate::from_der(one).is_err()) {
        return Err(format!("{} holds a certificate that cannot be parsed", file.display()));
    }
    Ok(found)
}
