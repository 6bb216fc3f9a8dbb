//! The TLS that clients meet: one rustls configuration, made of checked certificates.
//!
//! rustls is configured here and not through Pingora, which offers neither a minimum version, nor session tickets, nor a
//! choice of certificate by name. A configuration is immutable; a reload makes a new one. What clients hold on to, their
//! sessions, lives in [`Sessions`], which outlives reloads: a reload that forgot it would cost every returning client a
//! full handshake.
//!
//! 0-RTT (RFC 8446, section 2.3) is off: early data can be replayed, and the API has requests that must not be.

mod certificates;
mod local_authority;
mod resolver;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, Ticketer, kx_group},
    },
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
    version::{TLS12, TLS13},
};

pub use self::{
    certificates::{Certificate, CertificateError, Warning},
    local_authority::AuthorityError,
};
use crate::edge::tls::resolver::Resolver;

/// Sessions kept for clients of TLS 1.2 that do not take tickets (RFC 5246, section 7.3); the oldest one leaves first.
const MAX_STORED_SESSIONS: usize = 1024;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246
    V1_2,
    /// RFC 8446
    V1_3,
}

/// A certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM form, the server's own certificate first.
    pub chain: PathBuf,
    /// The private key in PEM form.
    pub key: PathBuf,
}

/// How to speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The folder of the local authority, where there is one.
    pub local_authority: Option<PathBuf>,
    /// Certificates from elsewhere; they come before the local authority's.
    pub certificates: Vec<CertificateFiles>,
}

/// What clients need to resume their sessions: the keys of tickets and the store for those that take none.
///
/// Made once for a process. The ticket keys change by themselves every six hours and are good for twelve.
#[derive(Clone, Debug)]
pub struct Sessions {
    ticketer: Arc<dyn ProducesTickets>,
    store: Arc<dyn StoresServerSessions>,
}

impl Sessions {
    /// No sessions yet. Fails where the system has no randomness.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { ticketer: Ticketer::new()?, store: ServerSessionMemoryCache::new(MAX_STORED_SESSIONS) })
    }
}

/// Why there is no TLS; each is one sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A given certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The local authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Neither certificates nor an authority were given.
    #[error("there is no certificate to serve")]
    NoCertificate,
    /// The cryptographic provider does not offer what [`provider`] asks of it.
    #[error("TLS cannot be configured: {0}")]
    Provider(#[from] rustls::Error),
}

/// What an operator wants to know of a certificate; for logs, `check` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The file of the chain.
    pub chain: PathBuf,
    /// The names and addresses it holds, in its order, names in lower case.
    pub names: Vec<String>,
    /// When the first certificate of the chain ends.
    pub not_after: SystemTime,
}

/// TLS, ready to be spoken.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    summary: Vec<Summary>,
    warnings: Vec<Warning>,
}

impl Tls {
    /// Reads and checks all certificates as of `now`, and makes the local authority's where there are none.
    ///
    /// Blocks for the time of a few file operations. Every certificate is looked at before it fails, so that an operator
    /// learns of all mistakes at once; the list of errors is never empty.
    pub fn load(settings: &Settings, sessions: &Sessions, now: SystemTime) -> Result<Self, Vec<Error>> {
        let provider = provider();
        let (mut certificates, mut errors) = (Vec::new(), Vec::new());
        for files in &settings.certificates {
            match Certificate::load(files, &provider, now) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(error.into()),
            }
        }
        if let Some(directory) = &settings.local_authority {
            match local_authority::load(directory, &provider, now) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(error.into()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let summary = certificates.iter().map(Certificate::summary).collect();
        let warnings = certificates.iter().flat_map(|certificate| certificate.warnings(now)).collect();
        let resolver = Resolver::new(certificates).ok_or_else(|| vec![Error::NoCertificate])?;
        let config = server_config(settings.min_version, resolver, sessions, provider)
            .map_err(|error| vec![Error::Provider(error)])?;
        Ok(Self { config: Arc::new(config), summary, warnings })
    }

    /// What an acceptor needs.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificates in force, in their order: the first one serves clients that name no known host.
    pub fn summary(&self) -> &[Summary] {
        &self.summary
    }

    /// What is good now and should not stay as it is.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// aws-lc-rs with the key exchange that stands against a quantum computer first (X25519MLKEM768,
/// draft-ietf-tls-ecdhe-mlkem).
///
/// As a server, rustls takes the first group of the *client's* list that is in this one; as a client, it offers them in
/// this order.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
}

fn server_config(
    min_version: TlsVersion,
    resolver: Resolver,
    sessions: &Sessions,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Arc::clone(&sessions.ticketer);
    config.session_storage = Arc::clone(&sessions.store);
    config.max_early_data_size = 0;
    Ok(config)
}
