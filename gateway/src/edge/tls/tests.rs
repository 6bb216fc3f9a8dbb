use std::fs;

use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, PeerIncompatible, ProtocolVersion,
    client::{Resumption, Tls12Resumption},
    crypto::aws_lc_rs::{self, kx_group},
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tempfile::TempDir;

use super::*;
use crate::{
    config::CertificateFiles,
    edge::tls::testing::{DAY, client, client_with, files, handshake, lone, server, today},
};

type Versions = &'static [&'static SupportedProtocolVersion];
const BOTH: Versions = &[&TLS13, &TLS12];
const ONLY_1_3: Versions = &[&TLS13];
const ONLY_1_2: Versions = &[&TLS12];

/// A folder with a local authority, as of the system's clock, which rustls verifies by.
struct Local {
    directory: TempDir,
    sessions: Sessions,
}

impl Local {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), sessions: Sessions::new().unwrap() }
    }

    fn load(&self, min_version: TlsVersion) -> Tls {
        let settings = config::Tls { min_version, ..self.settings() };
        Tls::load(&settings, &self.sessions, SystemTime::now()).unwrap()
    }

    fn settings(&self) -> config::Tls {
        config::Tls { local_authority: Some(self.directory.path().to_owned()), ..given(Vec::new()) }
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.load(TlsVersion::V1_2).config()
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn client(&self, versions: Versions) -> Arc<ClientConfig> {
        Arc::new(client(&self.authority(), versions))
    }
}

/// Without a local authority.
fn given(certificates: Vec<CertificateFiles>) -> config::Tls {
    config::Tls {
        min_version: TlsVersion::V1_2,
        suites: Vec::new(),
        groups: Vec::new(),
        ticket_keys: None,
        local_authority: None,
        certificates,
    }
}

fn load(settings: &config::Tls, now: SystemTime) -> Result<Tls, Errors<Error>> {
    Tls::load(settings, &Sessions::new().unwrap(), now)
}

#[test]
fn a_client_that_trusts_the_local_authority_connects_by_name_and_by_address() {
    let local = Local::new();
    let server = local.server();
    for name in ["localhost", "LOCALHOST", "127.0.0.1", "::1"] {
        handshake(&local.client(BOTH), &server, name).unwrap();
    }
    handshake(&local.client(BOTH), &server, "example.org").unwrap_err();
}

#[test]
fn clients_with_our_groups_get_the_one_that_stands_against_a_quantum_computer() {
    let local = Local::new();
    let server = local.server();
    let group = |kx_groups: &[&'static dyn rustls::crypto::SupportedKxGroup], versions| {
        let provider = CryptoProvider { kx_groups: kx_groups.to_vec(), ..aws_lc_rs::default_provider() };
        let client = client_with(Arc::new(provider), &local.authority(), versions);
        let (_, server) = handshake(&Arc::new(client), &server, "localhost").unwrap();
        (server.negotiated_key_exchange_group().unwrap().name(), server.handshake_kind().unwrap())
    };
    let ours = &provider().kx_groups;
    assert_eq!(group(ours, BOTH), (NamedGroup::X25519MLKEM768, HandshakeKind::Full));
    assert_eq!(group(ours, ONLY_1_2), (NamedGroup::X25519, HandshakeKind::Full));
    assert_eq!(group(&[kx_group::SECP384R1], BOTH), (NamedGroup::secp384r1, HandshakeKind::Full));
}

#[test]
fn the_minimum_version_holds() {
    let local = Local::new();
    let (old, new) = (local.server(), local.load(TlsVersion::V1_3).config());
    let version = |versions, server| {
        let (client, _) = handshake(&local.client(versions), server, "localhost")?;
        Ok(client.protocol_version().unwrap())
    };
    assert_eq!(version(BOTH, &old), Ok(ProtocolVersion::TLSv1_3));
    assert_eq!(version(ONLY_1_2, &old), Ok(ProtocolVersion::TLSv1_2));
    assert_eq!(version(ONLY_1_3, &new), Ok(ProtocolVersion::TLSv1_3));
    let refusal = PeerIncompatible::Tls12NotOfferedOrEnabled;
    assert_eq!(version(ONLY_1_2, &new), Err(rustls::Error::PeerIncompatible(refusal)));
}

#[test]
fn only_the_chosen_suites_and_groups_are_spoken() {
    let local = Local::new();
    let suites =
        ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"].map(|name| name.parse().unwrap());
    let groups = ["secp256r1"].map(|name| name.parse().unwrap());
    let settings = config::Tls { suites: suites.to_vec(), groups: groups.to_vec(), ..local.settings() };
    let server = Tls::load(&settings, &local.sessions, SystemTime::now()).unwrap().config();
    for (versions, suite) in [(BOTH, "TLS13_AES_128_GCM_SHA256"), (ONLY_1_2, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    {
        let (client, _) = handshake(&local.client(versions), &server, "localhost").unwrap();
        assert_eq!(client.negotiated_cipher_suite().unwrap().suite().as_str(), Some(suite));
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::secp256r1);
    }
    let other = |kx_groups, suite: Option<&str>| {
        let mut provider = CryptoProvider { kx_groups, ..provider() };
        provider.cipher_suites.retain(|known| suite.is_none_or(|suite| known.suite().as_str() == Some(suite)));
        let client = client_with(Arc::new(provider), &local.authority(), ONLY_1_3);
        handshake(&Arc::new(client), &server, "localhost").map(drop)
    };
    other(vec![kx_group::X25519], None).unwrap_err();
    other(vec![kx_group::SECP256R1], Some("TLS13_AES_256_GCM_SHA384")).unwrap_err();
    other(vec![kx_group::SECP256R1], Some("TLS13_AES_128_GCM_SHA256")).unwrap();
}

#[test]
fn clients_choose_http_2_or_http_1() {
    let local = Local::new();
    let server = local.server();
    let chosen = |offered: &[&str]| {
        let mut client = client(&local.authority(), BOTH);
        client.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let (client, _) = handshake(&Arc::new(client), &server, "localhost")?;
        Ok(client.alpn_protocol().map(|protocol| String::from_utf8(protocol.to_vec()).unwrap()))
    };
    assert_eq!(chosen(&["http/1.1", "h2"]), Ok(Some("h2".to_owned())));
    assert_eq!(chosen(&["http/1.1"]), Ok(Some("http/1.1".to_owned())));
    assert_eq!(chosen(&[]), Ok(None));
    assert_eq!(chosen(&["ftp"]), Err(rustls::Error::NoApplicationProtocol));
}

/// What a second connection is, after one to `first`, and whether the client could have sent 0-RTT data on it.
fn return_to(client: ClientConfig, first: &Arc<ServerConfig>, second: &Arc<ServerConfig>) -> HandshakeKind {
    let mut client = client;
    client.enable_early_data = true;
    let client = Arc::new(client);
    let (_, server) = handshake(&client, first, "localhost").unwrap();
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
    let (client, server) = handshake(&client, second, "localhost").unwrap();
    assert!(!client.is_early_data_accepted());
    server.handshake_kind().unwrap()
}

#[test]
fn sessions_outlive_a_reload() {
    let local = Local::new();
    for versions in [ONLY_1_3, ONLY_1_2] {
        let (before, after) = (local.server(), local.server());
        assert_eq!(return_to(client(&local.authority(), versions), &before, &after), HandshakeKind::Resumed);

        let other = load(&local.settings(), SystemTime::now()).unwrap().config();
        assert_eq!(return_to(client(&local.authority(), versions), &before, &other), HandshakeKind::Full);
    }
}

#[test]
fn clients_without_tickets_resume_from_the_store() {
    let local = Local::new();
    let server = local.server();
    let mut client = client(&local.authority(), ONLY_1_2);
    client.resumption = Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly);
    assert_eq!(return_to(client, &server, &server), HandshakeKind::Resumed);
}

#[test]
fn each_name_gets_its_certificate() {
    let directory = TempDir::new().unwrap();
    let now = SystemTime::now();
    let made = [&["first.example"][..], &["second.example", "*.second.example"]].map(|names| {
        let name = names[0];
        let made = server(names, None, &(now - DAY..now + 90 * DAY));
        files(directory.path(), name, &made.pem, &made.key)
    });
    let tls = load(&given(made.to_vec()), now).unwrap();
    for (name, expected) in [("first.example", 0), ("second.example", 1), ("WWW.second.example", 1)] {
        let client = Arc::new(client(&made[expected].chain, BOTH));
        let (client, _) = handshake(&client, &tls.config(), name).unwrap();
        let chain = [CertificateDer::from_pem_file(&made[expected].chain).unwrap()];
        assert_eq!(client.peer_certificates().unwrap(), chain);
    }
    let names: Vec<_> = tls.summary().iter().map(|summary| summary.names.as_slice()).collect();
    assert_eq!(names, [&["first.example"][..], &["second.example", "*.second.example"]]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let directory = TempDir::new().unwrap();
    let made = lone(&["example.org"]);
    let good = files(directory.path(), "good", &made.pem, &made.key);
    let no_key = files(directory.path(), "no_key", &made.pem, "");
    let empty = files(directory.path(), "empty", "", "");
    fs::write(directory.path().join("file"), "").unwrap();
    let settings = config::Tls {
        local_authority: Some(directory.path().join("file")),
        ..given(vec![no_key.clone(), good, empty.clone()])
    };
    let expected = [
        format!("{} holds no unencrypted private key in PEM form", no_key.key.display()),
        format!("{} holds no certificate in PEM form", empty.chain.display()),
        format!("{} holds no unencrypted private key in PEM form", empty.key.display()),
        "the local authority cannot ".to_owned(),
    ];
    let (loaded, checked) = (load(&settings, today()).unwrap_err(), Tls::check(&settings, today()).unwrap_err());
    for errors in [loaded.to_string(), checked.to_string()] {
        assert_eq!(errors.lines().count(), expected.len(), "{errors}");
        assert!(errors.lines().zip(&expected).all(|(line, expected)| line.starts_with(expected)), "{errors}");
    }
}

#[test]
fn no_certificate_is_an_error() {
    let Errors(errors) = load(&given(Vec::new()), today()).unwrap_err();
    assert!(matches!(errors.as_slice(), [Error::NoCertificate]), "{errors:?}");
}

#[test]
fn warnings_come_along() {
    let directory = TempDir::new().unwrap();
    let made = lone(&["example.org"]);
    let files = files(directory.path(), "server", &made.pem, &made.key);
    let (settings, later) = (given(vec![files.clone()]), today() + 40 * DAY);
    let tls = load(&settings, later).unwrap();
    assert_eq!(tls.warnings(), [Warning::ExpiresSoon { file: files.chain, days: 5 }]);
    assert_eq!(tls.warnings(), Tls::check(&settings, later).unwrap());
    assert!(!format!("{tls:?}").contains("PRIVATE"));
}

#[test]
fn a_check_makes_no_local_authority() {
    let local = Local::new();
    assert_eq!(Tls::check(&local.settings(), today()).unwrap(), []);
    assert_eq!(fs::read_dir(local.directory.path()).unwrap().count(), 0);
}

#[test]
fn each_name_ends_with_the_certificate_that_serves_it() {
    let directory = TempDir::new().unwrap();
    let made = [(45, &["a.example", "b.example"][..]), (90, &["b.example", "c.example"])].map(|(days, names)| {
        let made = server(names, None, &(today() - DAY..today() + days * DAY));
        files(directory.path(), names[0], &made.pem, &made.key)
    });
    let tls = load(&given(made.to_vec()), today()).unwrap();
    let days = |days: u32| today() + days * DAY;
    let expected = [("a.example", days(45)), ("b.example", days(45)), ("c.example", days(90))];
    assert_eq!(tls.ends(), BTreeMap::from(expected));
}

#[test]
fn only_the_local_authority_renews_and_in_its_last_third() {
    let local = Local::new();
    let tls = load(&local.settings(), today()).unwrap();
    assert!(!tls.is_renewal_due(today() + 59 * DAY));
    let later = today() + 61 * DAY;
    assert!(tls.is_renewal_due(later));
    assert!(!load(&local.settings(), later).unwrap().is_renewal_due(later));

    let made = lone(&["example.org"]);
    let given = given(vec![files(local.directory.path(), "given", &made.pem, &made.key)]);
    assert!(!load(&given, today()).unwrap().is_renewal_due(today() + 44 * DAY));
}
