use std::{fs, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;

use super::*;
use crate::edge::tls::{
    provider,
    testing::{DAY, Made, authority, files, lone, server, today},
};

/// What loading says of these contents of the two files, and of the folder's name nothing.
fn load(chain: &str, key: &str, now: SystemTime) -> Result<Certificate, String> {
    let directory = TempDir::new().unwrap();
    let files = files(directory.path(), "server", chain, key);
    Certificate::load(&files, &provider(), now)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

/// A root, an authority below it, and a server's certificate from that.
fn three() -> (Made, Made, Made) {
    let root = authority("root", None);
    let intermediate = authority("intermediate", Some(&root));
    let server = server(&["example.org"], Some(&intermediate), &(today() - 45 * DAY..today() + 45 * DAY));
    (root, intermediate, server)
}

#[test]
fn a_whole_chain_loads() {
    let (root, intermediate, server) = three();
    for chain in [vec![&server], vec![&server, &intermediate], vec![&server, &intermediate, &root]] {
        let pem: String = chain.iter().map(|made| made.pem.as_str()).collect();
        let certificate = load(&pem, &server.key, today()).unwrap();
        assert_eq!(certificate.key().cert.len(), chain.len());
        assert_eq!(certificate.warnings(today()), []);
    }
}

#[test]
fn the_summary_has_names_and_addresses_in_lower_case_and_the_end() {
    let made = lone(&["Example.ORG", "*.example.org", "127.0.0.1", "::1"]);
    let summary = load(&made.pem, &made.key, today()).unwrap().summary();
    assert_eq!(summary.names, ["example.org", "*.example.org", "127.0.0.1", "::1"]);
    assert_eq!(summary.not_after, today() + 45 * DAY);
    assert!(summary.chain.ends_with("server.pem"));
}

#[test]
fn each_mistake_is_one_sentence_that_names_the_file() {
    let (root, intermediate, server) = three();
    let (other, nameless) = (lone(&["example.org"]), lone(&[]));
    let impostor = authority("intermediate", None);
    let join = |parts: &[&Made]| parts.iter().map(|made| made.pem.as_str()).collect::<String>();
    let encrypted = server.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let broken = server.pem.replace("-----END", "=====END");
    let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let large = "#".repeat(usize::try_from(MAX_FILE).unwrap() + 1);
    let cases = [
        ("", server.key.as_str(), "server.pem holds no certificate in PEM form"),
        (
            &nameless.pem,
            &nameless.key,
            "the first certificate of server.pem names no host (subject alternative name), so no client accepts it",
        ),
        (
            "",
            "",
            "server.pem holds no certificate in PEM form\nserver.key holds no unencrypted private key in PEM form",
        ),
        ("garbage", &server.key, "server.pem holds no certificate in PEM form"),
        (&server.key, &server.key, "server.pem holds no certificate in PEM form"),
        (&broken, &server.key, "server.pem is broken: its PEM form cannot be decoded"),
        (&large, &server.key, "server.pem is larger than 1048576 octets, so it is neither a certificate nor a key"),
        (not_x509, &server.key, "certificate 1 of server.pem is not a valid X.509 certificate"),
        (&server.pem, "", "server.key holds no unencrypted private key in PEM form"),
        (&server.pem, &encrypted, "server.key holds no unencrypted private key in PEM form"),
        (&server.pem, not_a_key, "the private key in server.key is of no kind that can be used (RSA, ECDSA, Ed25519)"),
        (
            &server.pem,
            &other.key,
            "the private key in server.key does not belong to the first certificate of server.pem",
        ),
        (
            &join(&[&root, &intermediate, &server]),
            &server.key,
            "server.pem is out of order: certificate 1 was issued by \"CN=root\", but the next one is \
             \"CN=intermediate\"; the server's own certificate comes first, then each one's issuer",
        ),
        (
            &join(&[&server, &root]),
            &server.key,
            "server.pem is out of order: certificate 1 was issued by \"CN=intermediate\", but the next one is \
             \"CN=root\"; the server's own certificate comes first, then each one's issuer",
        ),
        (
            &join(&[&server, &impostor]),
            &server.key,
            "server.pem is not a chain that a client can follow: invalid peer certificate: BadSignature",
        ),
    ];
    for (chain, key, expected) in cases {
        assert_eq!(load(chain, key, today()).unwrap_err(), expected);
    }
}

#[test]
fn each_missing_file_is_named() {
    let directory = TempDir::new().unwrap();
    let made = lone(&["example.org"]);
    let files = files(directory.path(), "server", &made.pem, &made.key);
    let mut expected = String::new();
    for missing in [&files.key, &files.chain] {
        fs::remove_file(missing).unwrap();
        let error = Certificate::load(&files, &provider(), today()).unwrap_err().to_string();
        expected = format!("{} cannot be read: No such file or directory (os error 2)\n{expected}", missing.display());
        assert_eq!(error, expected.trim_end());
    }
}

#[test]
fn every_certificate_of_the_chain_is_valid_now() {
    let (_, intermediate, server) = three();
    let chain = format!("{}{}", server.pem, intermediate.pem);
    let at = |now| load(&chain, &server.key, now).map(|_| ());
    let second = Duration::from_secs(1);

    let (start, end) = (today() - 45 * DAY, today() + 45 * DAY);
    assert_eq!(at(start), Ok(()));
    assert_eq!(at(end), Ok(()));
    let early = "certificate 1 of server.pem is not valid before Nov 17 00:00:00 2025 +00:00";
    assert_eq!(at(start - second), Err(early.to_owned()));
    let late = "certificate 1 of server.pem expired on Feb 15 00:00:00 2026 +00:00";
    assert_eq!(at(end + second), Err(late.to_owned()));

    let eternal = crate::edge::tls::testing::server(
        &["example.org"],
        Some(&intermediate),
        &(today() - 3650 * DAY..today() + 3650 * DAY),
    );
    let chain = format!("{}{}", eternal.pem, intermediate.pem);
    let error = load(&chain, &eternal.key, today() + 1826 * DAY).unwrap_err();
    assert_eq!(error, "certificate 2 of server.pem expired on Dec 31 00:00:00 2030 +00:00");
}

#[test]
fn an_end_within_two_weeks_is_warned_of() {
    let made = lone(&["example.org"]);
    let warnings = |days: u32| load(&made.pem, &made.key, today()).unwrap().warnings(today() + (45 - days) * DAY);
    assert_eq!(warnings(14), []);
    let [Warning::ExpiresSoon { days: 13, .. }] = warnings(13).as_slice() else { panic!("{:?}", warnings(13)) };
    assert!(warnings(13).iter().all(|warning| warning.to_string().ends_with("server.pem expires in 13 days")));
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let directory = TempDir::new().unwrap();
    let made = lone(&["example.org"]);
    let files = files(directory.path(), "server", &made.pem, &made.key);
    for (mode, expected) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = Certificate::load(&files, &provider(), today()).unwrap().warnings(today());
        assert_eq!(warnings.len(), expected, "{warnings:?}");
        assert!(warnings.iter().all(|warning| *warning == Warning::KeyOpenToOthers { file: files.key.clone(), mode }));
    }
}
