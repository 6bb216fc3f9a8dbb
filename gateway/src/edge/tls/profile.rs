//! What may be negotiated: versions, cipher suites and groups.
//!
//! The profiles are those of Mozilla's "Server Side TLS" guidelines, as far as rustls has what they allow. It has nothing
//! that they do not: every suite has forward secrecy and authenticated encryption. What the intermediate profile lists
//! beyond that, finite-field Diffie-Hellman for clients without elliptic curves, is for clients that no longer matter.

use std::str::FromStr;

use rustls::{
    CipherSuite, NamedGroup, SupportedCipherSuite,
    crypto::{
        CryptoProvider, SupportedKxGroup,
        aws_lc_rs::{self, kx_group},
    },
};

use crate::config::TlsVersion;

/// Every group, the one that stands against a quantum computer first (X25519MLKEM768, draft-ietf-tls-ecdhe-mlkem).
static GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// A profile of the guidelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.2 and 1.3: what almost every client of the last ten years can speak.
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

impl Profile {
    /// The oldest version that it speaks.
    pub const fn min_version(self) -> TlsVersion {
        match self {
            Self::Intermediate => TlsVersion::V1_2,
            Self::Modern => TlsVersion::V1_3,
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "intermediate" => Ok(Self::Intermediate),
            "modern" => Ok(Self::Modern),
            _ => Err("expected \"intermediate\" or \"modern\"".to_owned()),
        }
    }
}

/// A cipher suite that can be spoken, by its name in IANA's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite(CipherSuite);

impl Suite {
    /// Whether it belongs to TLS 1.3.
    pub fn is_of_1_3(self) -> bool {
        iana_name(self.0).is_some_and(|name| !name.contains("_WITH_"))
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || aws_lc_rs::ALL_CIPHER_SUITES.iter().map(SupportedCipherSuite::suite);
        let found = known().find(|suite| iana_name(*suite).as_deref() == Some(text));
        found.map(Self).ok_or_else(|| {
            let names: Vec<_> = known().filter_map(iana_name).collect();
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

/// rustls tells the suites of TLS 1.3 apart by a prefix of its own.
fn iana_name(suite: CipherSuite) -> Option<String> {
    Some(suite.as_str()?.replacen("TLS13_", "TLS_", 1))
}

/// A group that keys can be exchanged in, by its name in IANA's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(NamedGroup);

impl Group {
    /// Whether TLS 1.2 knows it.
    pub fn is_of_1_2(self) -> bool {
        self.0 != NamedGroup::X25519MLKEM768
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || GROUPS.iter().map(|group| group.name());
        let found = names().find(|name| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(text)));
        found.map(Self).ok_or_else(|| {
            let names: Vec<_> = names().filter_map(|name| name.as_str()).collect();
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

/// The cryptography of the whole process: aws-lc-rs with everything that can be spoken.
///
/// As a server, rustls takes the first suite and the first group of the *client's* list that is in this one, as the
/// guidelines ask; as a client, it offers them in this order.
pub fn provider() -> CryptoProvider {
    CryptoProvider { kx_groups: GROUPS.to_vec(), ..aws_lc_rs::default_provider() }
}

/// The same with these suites and groups only; an empty list is no restriction.
pub(super) fn restricted(suites: &[Suite], groups: &[Group]) -> CryptoProvider {
    let mut provider = provider();
    provider.cipher_suites.retain(|suite| suites.is_empty() || suites.contains(&Suite(suite.suite())));
    provider.kx_groups.retain(|group| groups.is_empty() || groups.contains(&Group(group.name())));
    provider
}
