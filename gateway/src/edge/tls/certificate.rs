//! A certificate chain and its key, read from files and checked before anything is served with them.

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::*};

/// Why a certificate must not be used; every sentence names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that cannot be written, by the local authority.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A failure of the TLS library that no file is to blame for.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl CertificateError {
    pub(super) fn unusable(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// A name that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A host name in lower case.
    Exact(String),
    /// What follows `*.` of a wildcard, in lower case.
    Wildcard(String),
    /// An address; clients do not ask for these by name.
    Address(IpAddr),
}

/// A certificate as operators know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The chain's file.
    pub path: PathBuf,
    /// Whom it is for.
    pub names: Vec<Name>,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Reads a pair and checks it: both files parse, the key is the leaf's, every certificate is valid now, and each of the
/// chain is issued by the next.
pub(super) fn load(
    chain_path: &Path,
    key_path: &Path,
    provider: &Arc<CryptoProvider>,
    now: SystemTime,
) -> Result<(Arc<CertifiedKey>, Served), CertificateError> {
    let chain = read_chain(chain_path)?;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| pem_error(key_path, error, "a private key"))?;
    let served = check_chain(chain_path, &chain, now)?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::unusable(key_path, format!("this key does not belong to {}", chain_path.display()))
        }
        other => CertificateError::unusable(key_path, other),
    })?;
    Ok((Arc::new(certified), served))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| pem_error(path, error, "a certificate"))?;
    let chain: Vec<_> =
        certificates.collect::<Result<_, _>>().map_err(|error| pem_error(path, error, "a certificate"))?;
    if chain.is_empty() {
        return Err(CertificateError::unusable(path, "holds no certificate in PEM form"));
    }
    Ok(chain)
}

fn pem_error(path: &Path, error: pem::Error, wanted: &str) -> CertificateError {
    match error {
        pem::Error::Io(source) => CertificateError::Unreadable { path: path.to_owned(), source },
        pem::Error::NoItemsFound => CertificateError::unusable(path, format!("does not hold {wanted} in PEM form")),
        other => CertificateError::unusable(path, format!("is not {wanted} in PEM form ({other})")),
    }
}

fn check_chain(path: &Path, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Served, CertificateError> {
    let unusable = |reason: String| CertificateError::unusable(path, reason);
    let mut parsed = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| unusable(format!("certificate {} cannot be read ({error})", index + 1)))?;
        parsed.push(certificate);
    }
    let seconds = i64::try_from(since_epoch(now).as_secs()).unwrap_or(i64::MAX);
    for (index, certificate) in parsed.iter().enumerate() {
        let validity = certificate.validity();
        if seconds < validity.not_before.timestamp() {
            return Err(unusable(format!("certificate {} is not valid before {}", index + 1, validity.not_before)));
        }
        if seconds >= validity.not_after.timestamp() {
            return Err(unusable(format!("certificate {} has expired on {}", index + 1, validity.not_after)));
        }
    }
    for (index, pair) in parsed.windows(2).enumerate() {
        if let [issued, issuer] = pair
            && issued.issuer() != issuer.subject()
        {
            let reason =
                format!("certificate {} is not issued by certificate {}: put them in order", index + 1, index + 2);
            return Err(unusable(reason));
        }
    }
    let leaf = parsed.first().ok_or_else(|| unusable("holds no certificate".to_owned()))?;
    let names = names(leaf);
    if names.is_empty() {
        return Err(unusable("its first certificate names no host (subject alternative name)".to_owned()));
    }
    let end = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Served { path: path.to_owned(), names, not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(end) })
}

fn names(leaf: &X509Certificate<'_>) -> Vec<Name> {
    let extension = leaf.subject_alternative_name().ok().flatten();
    let general = extension.iter().flat_map(|extension| &extension.value.general_names);
    general
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => {
                let name = name.to_ascii_lowercase();
                Some(
                    name.strip_prefix("*.")
                        .map_or_else(|| Name::Exact(name.clone()), |rest| Name::Wildcard(rest.to_owned())),
                )
            }
            GeneralName::IPAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(Name::Address)
            }
            _ => None,
        })
        .collect()
}

pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::Wildcard(rest) => write!(formatter, "*.{rest}"),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}
