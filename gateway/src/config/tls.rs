//! `[tls]`: versions and certificates.

use std::{path::PathBuf, str::FromStr};

use todo_shared::{config::Section, environment::Environment};

use crate::edge::tls::{Group, Profile, Suite};

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246
    V1_2,
    /// RFC 8446
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err("expected \"1.2\" or \"1.3\": older versions are broken".to_owned()),
        }
    }
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM form.
    pub chain: PathBuf,
    /// The private key in PEM form.
    pub key: PathBuf,
}

/// How the gateway speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The cipher suites that are spoken; none for all.
    pub suites: Vec<Suite>,
    /// The groups that keys are exchanged in; none for all.
    pub groups: Vec<Group>,
    /// The file of the ticket keys that several gateways share.
    pub ticket_keys: Option<PathBuf>,
    /// The folder of the local authority, where there is one.
    pub local_authority: Option<PathBuf>,
    /// Certificates from elsewhere.
    pub certificates: Vec<CertificateFiles>,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Tls> {
    let (profile, min_version) = (section.parsed::<Profile>("profile"), section.parsed::<TlsVersion>("min_version"));
    let (suites, groups) = (section.parsed_list::<Suite>("cipher_suites"), section.parsed_list::<Group>("groups"));
    let ticket_keys = section.optional("ticket_keys");
    let local_authority = section.get::<bool>("local_authority");
    let directory = section.get::<PathBuf>("directory");
    let certificates = section.tables("certificates", |table| {
        let (chain, key) = (table.get("chain"), table.get("key"));
        Some(CertificateFiles { chain: chain?, key: key? })
    });
    let (local_authority, certificates) = (local_authority?, certificates?);
    if local_authority && environment == Environment::Production {
        let help = "set it to false and name certificates in [[tls.certificates]]";
        section.complain("local_authority", "no client on the internet trusts a local authority", Some(help));
    }
    if !local_authority && certificates.is_empty() {
        let help = "name a chain and a key in [[tls.certificates]], or set tls.local_authority for development";
        section.complain("certificates", "there is no certificate to serve", Some(help));
    }
    let min_version = min_version?.max(profile?.min_version());
    let (suites, groups) = (suites?, groups?);
    check_choice(section, min_version, &suites, &groups);
    Some(Tls {
        min_version,
        suites,
        groups,
        ticket_keys: ticket_keys?,
        local_authority: local_authority.then_some(directory?),
        certificates,
    })
}

/// Each version that is to be spoken needs something to speak it with.
fn check_choice(section: &Section<'_>, min_version: TlsVersion, suites: &[Suite], groups: &[Group]) {
    let with_1_2 = min_version == TlsVersion::V1_2;
    let help = "name one, leave the list empty for all, or set tls.min_version to \"1.3\"";
    if !suites.is_empty() && !suites.iter().any(|suite| suite.is_of_1_3()) {
        section.complain(
            "cipher_suites",
            "there is no suite of TLS 1.3 among them",
            Some("name one, such as TLS_AES_128_GCM_SHA256"),
        );
    }
    if with_1_2 && !suites.is_empty() && suites.iter().all(|suite| suite.is_of_1_3()) {
        section.complain("cipher_suites", "there is no suite of TLS 1.2 among them", Some(help));
    }
    if with_1_2 && !groups.is_empty() && !groups.iter().any(|group| group.is_of_1_2()) {
        section.complain("groups", "there is no group of TLS 1.2 among them", Some(help));
    }
}
