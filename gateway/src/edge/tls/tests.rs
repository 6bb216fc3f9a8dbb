use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use proptest::prelude::*;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, ServerConnection,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::{certificate::Name, *};
use crate::config::CertificateFiles;

const DAY: Duration = Duration::from_hours(24);

fn local(folder: &Path) -> Tls {
    Tls { min_version: TlsVersion::V1_2, local_authority: Some(folder.to_owned()), certificates: Vec::new() }
}

fn given(folder: &Path, pairs: &[(&str, &str)]) -> Tls {
    let files = pairs.iter().map(|(chain, key)| CertificateFiles { chain: folder.join(chain), key: folder.join(key) });
    Tls { min_version: TlsVersion::V1_2, local_authority: None, certificates: files.collect() }
}

fn build(tls: &Tls, now: SystemTime) -> Result<Compiled, String> {
    compile(tls, &Resumption::new().expect("randomness"), now).map_err(|error| error.to_string())
}

fn client(ca: &Path, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("the CA")).expect("a root");
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Shakes hands in memory, then lets the server's tickets arrive.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(client.clone(), name).expect("a client");
    let mut server = ServerConnection::new(server.clone()).expect("a server");
    for _ in 0..6 {
        let mut octets = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut octets).expect("memory");
        }
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets()?;
        }
        let mut octets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut octets).expect("memory");
        }
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn the_local_authority_is_made_kept_and_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now();
    let first = build(&local(folder.path()), now).expect("a configuration");
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    let before: Vec<_> = ["ca.pem", "ca.key", "server.pem", "server.key"].map(read).into();
    for (name, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("ca.pem", 0o644)] {
        let permissions = fs::metadata(folder.path().join(name)).expect("a file").permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{name}");
    }
    build(&local(folder.path()), now + DAY).expect("a configuration");
    let after: Vec<_> = ["ca.pem", "ca.key", "server.pem", "server.key"].map(read).into();
    assert_eq!(before, after, "what is fresh is kept");
    let client = Arc::new(client(&folder.path().join("ca.pem"), &[&TLS13, &TLS12], &[]));
    for name in ["localhost", "127.0.0.1", "::1"] {
        handshake(&first.config, &client, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    handshake(&first.config, &client, "example.org").expect_err("not its name");
}

#[test]
fn what_ages_or_breaks_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now();
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    build(&local(folder.path()), now).expect("a configuration");
    let (ca, leaf) = (read("ca.pem"), read("server.pem"));
    build(&local(folder.path()), now + 61 * DAY).expect("a configuration");
    assert_eq!(read("ca.pem"), ca);
    assert_ne!(read("server.pem"), leaf, "the leaf is in its last third");
    build(&local(folder.path()), now + 2500 * DAY).expect("a configuration");
    assert_ne!(read("ca.pem"), ca, "so is the authority");

    for (broken, contents) in
        [("server.key", "nonsense"), ("server.pem", ""), ("ca.key", "nonsense"), ("ca.pem", "nonsense")]
    {
        let leaf = read("server.pem");
        fs::write(folder.path().join(broken), contents).expect("a file");
        build(&local(folder.path()), now).unwrap_or_else(|error| panic!("{broken}: {error}"));
        assert_ne!(read("server.pem"), leaf, "{broken}");
    }
    let other = tempfile::tempdir().expect("a folder");
    build(&local(other.path()), now).expect("a configuration");
    for name in ["ca.pem", "ca.key"] {
        fs::copy(other.path().join(name), folder.path().join(name)).expect("a file");
    }
    build(&local(folder.path()), now).expect("a configuration");
    let client = Arc::new(client(&folder.path().join("ca.pem"), &[&TLS13], &[]));
    let served = build(&local(folder.path()), now).expect("a configuration");
    handshake(&served.config, &client, "localhost").expect("the leaf follows its authority");

    let error = build(&local(Path::new("/dev/null/tls")), now).expect_err("no folder");
    assert!(error.starts_with("cannot write /dev/null/tls"), "{error}");
}

#[test]
fn processes_that_start_together_end_with_one_pair() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| build(&local(folder.path()), now).expect("a configuration"));
        }
    });
    let served = build(&local(folder.path()), now).expect("a configuration");
    let client = Arc::new(client(&folder.path().join("ca.pem"), &[&TLS13], &[]));
    handshake(&served.config, &client, "localhost").expect("one pair");
}

/// Writes a chain of a leaf for `names` and its issuer into a folder.
fn write_pair(folder: &Path, stem: &str, names: &[&str], life: (SystemTime, SystemTime)) {
    let issuer_key = KeyPair::generate().expect("a key");
    let mut issuer = CertificateParams::new(Vec::new()).expect("params");
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    issuer.distinguished_name.push(rcgen::DnType::CommonName, format!("{stem} authority"));
    let issuer_certificate = issuer.self_signed(&issuer_key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("params");
    (params.not_before, params.not_after) = (life.0.into(), life.1.into());
    let leaf = params.signed_by(&key, &Issuer::new(issuer, issuer_key)).expect("a certificate");
    fs::write(folder.join(format!("{stem}.pem")), leaf.pem() + &issuer_certificate.pem()).expect("a file");
    fs::write(folder.join(format!("{stem}-reversed.pem")), issuer_certificate.pem() + &leaf.pem()).expect("a file");
    fs::write(folder.join(format!("{stem}-ca.pem")), issuer_certificate.pem()).expect("a file");
    fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).expect("a file");
}

#[test]
fn pairs_that_must_not_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, now) = (folder.path(), SystemTime::now());
    write_pair(path, "good", &["a.example"], (now - DAY, now + 30 * DAY));
    write_pair(path, "old", &["a.example"], (now - 9 * DAY, now - DAY));
    write_pair(path, "early", &["a.example"], (now + DAY, now + 9 * DAY));
    write_pair(path, "nameless", &[], (now - DAY, now + DAY));
    fs::write(path.join("empty.pem"), "").expect("a file");
    fs::write(path.join("garbage.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("a file");
    let served = build(&given(path, &[("good.pem", "good.key")]), now).expect("a good pair").served;
    assert_eq!(served[0].names, [Name::Exact("a.example".to_owned())]);
    for (chain, key, blamed, reason) in [
        ("good.pem", "old.key", "old.key", "does not belong to"),
        ("old.pem", "old.key", "old.pem", "has expired"),
        ("early.pem", "early.key", "early.pem", "is not valid before"),
        ("good-reversed.pem", "good.key", "good-reversed.pem", "put them in order"),
        ("nameless.pem", "nameless.key", "nameless.pem", "names no host"),
        ("empty.pem", "good.key", "empty.pem", "holds no certificate"),
        ("garbage.pem", "good.key", "garbage.pem", "cannot be read"),
        ("good.pem", "good.pem", "good.pem", "does not hold a private key"),
        ("missing.pem", "good.key", "missing.pem", "cannot read"),
        ("good.pem", "missing.key", "missing.key", "cannot read"),
    ] {
        let error = build(&given(path, &[(chain, key)]), now).expect_err(chain);
        assert!(error.contains(blamed) && error.contains(reason), "{chain} {key}: {error}");
    }
}

#[test]
fn clients_get_the_certificate_of_the_name_they_ask_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, now) = (folder.path(), SystemTime::now());
    let life = (now - DAY, now + 30 * DAY);
    write_pair(path, "first", &["a.example"], life);
    write_pair(path, "second", &["*.b.example", "b.example"], life);
    write_pair(path, "third", &["x.b.example"], life);
    let pairs = [("first.pem", "first.key"), ("second.pem", "second.key"), ("third.pem", "third.key")];
    let compiled = build(&given(path, &pairs), now).expect("a configuration");
    for (name, stem) in
        [("a.example", "first"), ("b.example", "second"), ("Y.B.example", "second"), ("x.b.example", "third")]
    {
        let trusts = Arc::new(client(&path.join(format!("{stem}-ca.pem")), &[&TLS13], &[]));
        handshake(&compiled.config, &trusts, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let trusts_second = Arc::new(client(&path.join("second-ca.pem"), &[&TLS13], &[]));
    handshake(&compiled.config, &trusts_second, "z.y.b.example").expect_err("a wildcard is one label");
}

#[test]
fn both_versions_resume_across_a_reload_and_the_hybrid_group_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let resumption = Resumption::new().expect("randomness");
    let build = || compile(&local(folder.path()), &resumption, SystemTime::now()).expect("a configuration").config;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let server = build();
        let client = Arc::new(client(&folder.path().join("ca.pem"), &[version], &["h2", "http/1.1"]));
        let (first, _) = handshake(&server, &client, "localhost").expect("a handshake");
        assert_eq!(first.protocol_version(), Some(expected));
        assert_eq!(first.alpn_protocol(), Some(&b"h2"[..]));
        assert_ne!(first.handshake_kind(), Some(HandshakeKind::Resumed));
        if version.version == ProtocolVersion::TLSv1_3 {
            assert_eq!(
                first.negotiated_key_exchange_group().map(SupportedKxGroup::name),
                Some(NamedGroup::X25519MLKEM768)
            );
        }
        let (second, _) = handshake(&build(), &client, "localhost").expect("a handshake");
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{expected:?}");
    }
}

#[test]
fn an_old_version_can_be_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls { min_version: TlsVersion::V1_3, ..local(folder.path()) };
    let compiled = build(&tls, SystemTime::now()).expect("a configuration");
    let old = Arc::new(client(&folder.path().join("ca.pem"), &[&TLS12], &[]));
    handshake(&compiled.config, &old, "localhost").expect_err("TLS 1.2 is off");
}

proptest! {
    /// A wildcard stands for exactly one label, whatever that label is.
    #[test]
    fn a_wildcard_stands_for_one_label(labels in proptest::collection::vec("[a-z]{1,5}", 0..3)) {
        let folder = tempfile::tempdir().expect("a folder");
        let now = SystemTime::now();
        write_pair(folder.path(), "wild", &["*.b.example"], (now - DAY, now + DAY));
        let compiled = build(&given(folder.path(), &[("wild.pem", "wild.key")]), now).expect("a configuration");
        let trusts = Arc::new(client(&folder.path().join("wild-ca.pem"), &[&TLS13], &[]));
        let name = labels.iter().map(String::as_str).chain(["b.example"]).collect::<Vec<_>>().join(".");
        prop_assert_eq!(handshake(&compiled.config, &trusts, &name).is_ok(), labels.len() == 1);
    }
}
