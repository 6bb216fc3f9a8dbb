//! Certificates, files and handshakes for the tests of TLS.

use std::{
    fs::OpenOptions,
    io::Write as _,
    ops::Range,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::{config::CertificateFiles, edge::tls::provider};

pub(super) const DAY: Duration = Duration::from_hours(24);

/// A day like any other: 2026-01-01.
pub(super) fn today() -> SystemTime {
    UNIX_EPOCH + 20_454 * DAY
}

/// A certificate and what it takes to issue others.
pub(super) struct Made {
    pub(super) pem: String,
    pub(super) key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of an authority, issued by another one or itself, valid for ten years around `today`.
pub(super) fn authority(name: &str, issuer: Option<&Made>) -> Made {
    let mut parameters = parameters(name, &(today() - 1825 * DAY..today() + 1825 * DAY));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    make(parameters, issuer)
}

/// A server's certificate.
pub(super) fn server(names: &[&str], issuer: Option<&Made>, validity: &Range<SystemTime>) -> Made {
    let mut parameters = parameters("server", validity);
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    parameters.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    make(parameters, issuer)
}

/// A server's certificate of its own, valid for 90 days around `today`.
pub(super) fn lone(names: &[&str]) -> Made {
    server(names, None, &(today() - 45 * DAY..today() + 45 * DAY))
}

fn parameters(name: &str, validity: &Range<SystemTime>) -> CertificateParams {
    let time = |time: SystemTime| date_time_ymd(1970, 1, 1) + time.duration_since(UNIX_EPOCH).unwrap();
    let mut parameters = CertificateParams::default();
    (parameters.not_before, parameters.not_after) = (time(validity.start), time(validity.end));
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn make(parameters: CertificateParams, issuer: Option<&Made>) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => parameters.signed_by(&key, &issuer.issuer),
        None => parameters.self_signed(&key),
    };
    Made { pem: certificate.unwrap().pem(), key: key.serialize_pem(), issuer: Issuer::new(parameters, key) }
}

/// A chain and a key in files that only their owner reads.
pub(super) fn files(directory: &Path, name: &str, chain: &str, key: &str) -> CertificateFiles {
    let write = |name: String, content: &str| -> PathBuf {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(&path).unwrap().write_all(content.as_bytes()).unwrap();
        path
    };
    CertificateFiles { chain: write(format!("{name}.pem"), chain), key: write(format!("{name}.key"), key) }
}

/// A client that trusts the first certificate of `roots` and is otherwise like ours.
pub(super) fn client(roots: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_with(Arc::new(provider()), roots, versions)
}

/// A client with other cryptography.
pub(super) fn client_with(
    provider: Arc<CryptoProvider>,
    roots: &Path,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_file(roots).unwrap()).unwrap();
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

/// Both ends of a connection after the handshake and what follows it (tickets), without a network.
pub(super) fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut octets = Vec::new();
    while client.wants_write() || server.wants_write() {
        octets.clear();
        while client.wants_write() {
            client.write_tls(&mut octets).unwrap();
        }
        let mut unread = octets.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).unwrap();
            server.process_new_packets()?;
        }
        octets.clear();
        while server.wants_write() {
            server.write_tls(&mut octets).unwrap();
        }
        let mut unread = octets.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}
