//! TLS: one rustls configuration for the HTTPS endpoint, built anew for each snapshot.
//!
//! TLS 1.2 and 1.3, the hybrid X25519MLKEM768 first, HTTP/2 and HTTP/1.1 by ALPN, no early data. What must outlive a
//! reload, or every client would have to shake hands in full again, stands in [`Resumption`].

mod certificate;
mod local_authority;
mod resolver;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

pub use certificate::{CertificateError, Served};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
    version::{TLS12, TLS13},
};

use crate::config::{Tls, TlsVersion};

/// Sessions that are remembered for clients that take no tickets.
const REMEMBERED_SESSIONS: usize = 10_240;

/// What lets clients resume a session; shared by all configurations of a process.
#[derive(Debug, Clone)]
pub struct Resumption {
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Resumption {
    /// Fresh ticket keys (rotated by rustls every six hours) and an empty cache.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, CertificateError> {
        let tickets = aws_lc_rs::Ticketer::new().map_err(|error| CertificateError::Tls(error.to_string()))?;
        Ok(Self { tickets, sessions: ServerSessionMemoryCache::new(REMEMBERED_SESSIONS) })
    }
}

/// A TLS configuration with what it serves.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// For the edge.
    pub config: Arc<ServerConfig>,
    /// For operators: every certificate with its names and its end.
    pub served: Vec<Served>,
}

/// Reads and checks all certificates and builds the configuration; a local authority makes what is missing.
///
/// # Errors
/// The first certificate or key that must not be used, named by its file.
pub fn compile(tls: &Tls, resumption: &Resumption, now: SystemTime) -> Result<Compiled, CertificateError> {
    let mut files: Vec<(PathBuf, PathBuf)> =
        tls.certificates.iter().map(|files| (files.chain.clone(), files.key.clone())).collect();
    if let Some(folder) = &tls.local_authority {
        files.push(local_authority::ensure(folder, now)?);
    }
    let provider = Arc::new(provider());
    let mut pairs = Vec::new();
    for (chain, key) in &files {
        pairs.push(certificate::load(chain, key, &provider, now)?);
    }
    let served = pairs.iter().map(|(_, served)| served.clone()).collect();
    let resolver = resolver::ByName::new(pairs);
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| CertificateError::Tls(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = resumption.tickets.clone();
    config.session_storage = resumption.sessions.clone();
    Ok(Compiled { config: Arc::new(config), served })
}

/// aws-lc-rs with the hybrid group first: recorded traffic stays secret when quantum computers come.
fn provider() -> CryptoProvider {
    let groups: Vec<&'static dyn SupportedKxGroup> = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() }
}

#[cfg(test)]
mod tests;
