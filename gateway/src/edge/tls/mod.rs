//! The TLS that clients meet: one rustls configuration, made of checked certificates.
//!
//! rustls is configured here and not through Pingora, which offers neither a minimum version, nor session tickets, nor a
//! choice of certificate by name. A configuration is immutable; a reload makes a new one. What clients hold on to, their
//! sessions, lives in [`Sessions`], which outlives reloads: a reload that forgot it would cost every returning client a
//! full handshake.
//!
//! 0-RTT (RFC 8446, section 2.3) is off: early data can be replayed, and the API has requests that must not be.

mod certificates;
mod error;
mod local_authority;
mod profile;
mod resolver;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tickets;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs::Ticketer},
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
    version::{TLS12, TLS13},
};

pub use self::{
    error::{AuthorityError, CertificateError, Error, Errors, Warning},
    profile::{Group, Profile, Suite, provider},
    tickets::{TicketKeyError, add as add_ticket_key},
};
use crate::{
    config::{self, TlsVersion},
    edge::tls::{
        certificates::{ACCESS_OF_OTHERS, Certificate},
        resolver::Resolver,
        tickets::SharedTickets,
    },
};

/// Sessions kept for clients of TLS 1.2 that do not take tickets (RFC 5246, section 7.3); the oldest one leaves first.
const MAX_STORED_SESSIONS: usize = 1024;

/// What clients need to resume their sessions: the keys of tickets and the store for those that take none.
///
/// Made once for a process. The ticket keys change by themselves every six hours and are good for twelve; those of
/// `tls.ticket_keys` stand in their place.
#[derive(Clone, Debug)]
pub struct Sessions {
    ticketer: Arc<dyn ProducesTickets>,
    store: Arc<dyn StoresServerSessions>,
}

impl Sessions {
    /// No sessions yet.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn new() -> Result<Self, Error> {
        let ticketer = Ticketer::new()?;
        Ok(Self { ticketer, store: ServerSessionMemoryCache::new(MAX_STORED_SESSIONS) })
    }
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
    /// From when until when the local authority's certificate is valid.
    local: Option<(SystemTime, SystemTime)>,
    /// When the last of the shared ticket keys ends.
    ticket_key_end: Option<SystemTime>,
}

impl Tls {
    /// Reads and checks all certificates as of `now`; what the local authority has not, it makes.
    ///
    /// Blocks for the time of a few file operations, and for a few seconds where another process is at work in the local
    /// authority's folder.
    ///
    /// # Errors
    /// Everything that is wrong: an operator learns of all mistakes at once.
    pub fn load(settings: &config::Tls, sessions: &Sessions, now: SystemTime) -> Result<Self, Errors<Error>> {
        let provider = provider();
        let make = |directory: &Path| local_authority::load(directory, &provider, now).map(Some);
        let (mut certificates, local) = load_all(settings, &provider, now, make)?;
        let validity = local.as_ref().map(Certificate::validity);
        certificates.extend(local);
        let summary = certificates.iter().map(Certificate::summary).collect();
        let tickets = load_tickets(settings, now)?;
        let warnings = warnings(&certificates, tickets.as_ref(), now);
        let resolver = Resolver::new(certificates).ok_or(Error::NoCertificate)?;
        let mut config = server_config(settings, resolver).map_err(Error::Provider)?;
        config.session_storage = Arc::clone(&sessions.store);
        config.ticketer = match &tickets {
            Some(tickets) => Arc::new(SharedTickets::new(&tickets.keys)),
            None => Arc::clone(&sessions.ticketer),
        };
        let ticket_key_end = tickets.and_then(|tickets| tickets.end());
        Ok(Self { config: Arc::new(config), summary, warnings, local: validity, ticket_key_end })
    }

    /// Checks what [`Self::load`] would load, and writes nothing. What the local authority would have to make is taken
    /// on trust.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(settings: &config::Tls, now: SystemTime) -> Result<Vec<Warning>, Errors<Error>> {
        let provider = provider();
        let look = |directory: &Path| local_authority::look(directory, &provider, now);
        let (mut certificates, local) = load_all(settings, &provider, now, look)?;
        certificates.extend(local);
        let tickets = load_tickets(settings, now)?;
        Ok(warnings(&certificates, tickets.as_ref(), now))
    }

    /// What an acceptor needs.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificates in force, in their order: the first one serves clients that name no known host.
    pub fn summary(&self) -> &[Summary] {
        &self.summary
    }

    /// When the certificate that serves each name ends. Where two hold the same name, the earlier one serves it.
    pub fn ends(&self) -> BTreeMap<&str, SystemTime> {
        let mut ends = BTreeMap::new();
        for summary in &self.summary {
            for name in &summary.names {
                ends.entry(name.as_str()).or_insert(summary.not_after);
            }
        }
        ends
    }

    /// When the last of the shared ticket keys ends; `None` without such.
    pub fn ticket_key_end(&self) -> Option<SystemTime> {
        self.ticket_key_end
    }

    /// What is good now and should not stay as it is.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether the local authority's certificate is in the last third of its life, where loading anew makes another.
    pub fn is_renewal_due(&self, now: SystemTime) -> bool {
        self.local.is_some_and(|validity| local_authority::is_due(validity, now))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// The given certificates, and the local authority's where there is one. Looks at every file before it fails.
fn load_all(
    settings: &config::Tls,
    provider: &CryptoProvider,
    now: SystemTime,
    local: impl FnOnce(&Path) -> Result<Option<Certificate>, AuthorityError>,
) -> Result<(Vec<Certificate>, Option<Certificate>), Errors<Error>> {
    let (mut certificates, mut errors) = (Vec::new(), Vec::new());
    for files in &settings.certificates {
        match Certificate::load(files, provider, now) {
            Ok(certificate) => certificates.push(certificate),
            Err(Errors(mistakes)) => errors.extend(mistakes.into_iter().map(Error::Certificate)),
        }
    }
    let local = settings.local_authority.as_deref().map(local).transpose();
    match local {
        Ok(local) if errors.is_empty() => Ok((certificates, local.flatten())),
        local => {
            errors.extend(local.err().map(Error::Authority));
            Err(Errors(errors))
        }
    }
}

/// The shared ticket keys.
struct Tickets {
    keys: Vec<tickets::Entry>,
    warnings: Vec<Warning>,
}

impl Tickets {
    fn end(&self) -> Option<SystemTime> {
        self.keys.iter().map(|key| key.until).max()
    }
}

fn load_tickets(settings: &config::Tls, now: SystemTime) -> Result<Option<Tickets>, Error> {
    let Some(file) = &settings.ticket_keys else { return Ok(None) };
    let (keys, mode) = tickets::load(file)?;
    let mut warnings = Vec::new();
    if mode & ACCESS_OF_OTHERS != 0 {
        warnings.push(Warning::TicketKeysOpenToOthers { file: file.clone(), mode });
    }
    if !keys.iter().any(|key| key.from <= now && now < key.until) {
        warnings.push(Warning::NoTicketKey { file: file.clone() });
    }
    Ok(Some(Tickets { keys, warnings }))
}

fn warnings(certificates: &[Certificate], tickets: Option<&Tickets>, now: SystemTime) -> Vec<Warning> {
    let of_tickets = tickets.into_iter().flat_map(|tickets| tickets.warnings.clone());
    certificates.iter().flat_map(|certificate| certificate.warnings(now)).chain(of_tickets).collect()
}

fn server_config(settings: &config::Tls, resolver: Resolver) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let provider = profile::restricted(&settings.suites, &settings.groups);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(config)
}
