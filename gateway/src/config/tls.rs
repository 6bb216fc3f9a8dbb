//! `[tls]`: versions and certificates.

use std::{path::PathBuf, str::FromStr};

use todo_shared::{config::Section, environment::Environment};

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The folder of the local authority, where there is one.
    pub local_authority: Option<PathBuf>,
    /// Certificates from elsewhere.
    pub certificates: Vec<CertificateFiles>,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Tls> {
    let min_version = section.parsed("min_version");
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
    Some(Tls { min_version: min_version?, local_authority: local_authority.then_some(directory?), certificates })
}
