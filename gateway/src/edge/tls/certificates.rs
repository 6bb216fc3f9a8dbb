//! A certificate with its key, read from files and checked before it is used.
//!
//! A mistake in these files otherwise shows as a failed handshake at some client, with no word of the cause. Each check
//! has an error of its own that names the file.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    Error as RustlsError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{Error as PemError, PemObject as _},
    },
    server::ParsedCertificate,
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate, time::ASN1Time};

use crate::{
    config::CertificateFiles,
    edge::tls::{CertificateError, Errors, Summary, Warning},
};

/// Certificates and keys are a few KiB; nobody means a file that is larger than this, in octets.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// A certificate that ends within this time is warned of.
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// The access of others than the owner, in a file's mode.
pub(super) const ACCESS_OF_OTHERS: u32 = 0o077;

/// A certificate chain and its key, checked.
#[derive(Debug)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    files: CertificateFiles,
    dns_names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// From when until when the whole chain is valid.
    validity: (SystemTime, SystemTime),
    key_mode: u32,
}

impl Certificate {
    /// Reads a server's certificate and its key, and checks what can be checked from here: form, order, signatures, dates
    /// as of `now`, names, key.
    ///
    /// # Errors
    /// What is wrong with the chain and what is wrong with the key.
    pub(super) fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, Errors<CertificateError>> {
        let certificate = Self::load_authority(files, provider, now)?;
        if certificate.dns_names.is_empty() && certificate.addresses.is_empty() {
            return Err(CertificateError::NoNames { file: files.chain.clone() }.into());
        }
        Ok(certificate)
    }

    /// Like [`Self::load`] for the certificate of an authority, which needs no names.
    pub(super) fn load_authority(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, Errors<CertificateError>> {
        let (chain, (key, key_mode)) = match (read_chain(&files.chain, provider, now), read_key(&files.key, provider)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(Errors(chain.err().into_iter().chain(key.err()).collect())),
        };
        let key = CertifiedKey::new(chain.certificates, key);
        key.keys_match().map_err(|error| match error {
            RustlsError::InconsistentKeys(_) => {
                CertificateError::KeyMismatch { chain: files.chain.clone(), key: files.key.clone() }
            }
            _ => CertificateError::Certificate { file: files.chain.clone(), position: 1 },
        })?;
        Ok(Self {
            key: Arc::new(key),
            files: files.clone(),
            dns_names: chain.dns_names,
            addresses: chain.addresses,
            validity: chain.validity,
            key_mode,
        })
    }

    /// For operators.
    pub(super) fn summary(&self) -> Summary {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        Summary {
            chain: self.files.chain.clone(),
            names: self.dns_names.iter().cloned().chain(addresses).collect(),
            not_after: self.validity.1,
        }
    }

    /// What should not stay as it is.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let left = self.validity.1.duration_since(now).unwrap_or_default();
        if left < EXPIRES_SOON {
            let days = left.as_secs() / Duration::from_hours(24).as_secs();
            warnings.push(Warning::ExpiresSoon { file: self.files.chain.clone(), days });
        }
        if self.key_mode & ACCESS_OF_OTHERS != 0 {
            warnings.push(Warning::KeyOpenToOthers { file: self.files.key.clone(), mode: self.key_mode });
        }
        warnings
    }

    /// The chain and the key for rustls.
    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The names it holds, in lower case; the first label may be `*`.
    pub(super) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.dns_names.iter().map(String::as_str)
    }

    /// From when until when the whole chain is valid.
    pub(super) fn validity(&self) -> (SystemTime, SystemTime) {
        self.validity
    }
}

/// A chain without its key.
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    dns_names: Vec<String>,
    addresses: Vec<IpAddr>,
    validity: (SystemTime, SystemTime),
}

fn read_chain(file: &Path, provider: &CryptoProvider, now: SystemTime) -> Result<Chain, CertificateError> {
    let (octets, _) = read(file)?;
    let certificates = parse_pem(file, &octets)?;
    let parsed = parse_chain(file, &certificates)?;
    let leaf = parsed.first().ok_or_else(|| CertificateError::NoCertificate { file: file.to_owned() })?;
    check_order(file, &parsed)?;
    let validity = check_dates(file, &parsed, now)?;
    check_signatures(file, &certificates, provider, now)?;
    let (dns_names, addresses) = names(leaf);
    drop(parsed);
    Ok(Chain { certificates, dns_names, addresses, validity })
}

/// A private key and its file's permission bits.
fn read_key(file: &Path, provider: &CryptoProvider) -> Result<(Arc<dyn SigningKey>, u32), CertificateError> {
    let (octets, mode) = read(file)?;
    let key = PrivateKeyDer::from_pem_slice(&octets).map_err(|error| match error {
        PemError::NoItemsFound => CertificateError::NoKey { file: file.to_owned() },
        _ => CertificateError::Pem { file: file.to_owned() },
    })?;
    let key = provider.key_provider.load_private_key(key);
    key.map(|key| (key, mode)).map_err(|_| CertificateError::Key { file: file.to_owned() })
}

/// The octets of a file and its permission bits.
fn read(file: &Path) -> Result<(Vec<u8>, u32), CertificateError> {
    let unreadable = |source| CertificateError::Unreadable { file: file.to_owned(), source };
    let opened = File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.mode() & 0o777;
    let mut octets = Vec::new();
    let length = opened.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if length as u64 > MAX_FILE {
        return Err(CertificateError::TooLarge { file: file.to_owned() });
    }
    Ok((octets, mode))
}

fn parse_pem(file: &Path, octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(octets)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Pem { file: file.to_owned() })
}

fn parse_chain<'a>(
    file: &Path,
    chain: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, CertificateError> {
    let parse =
        |(certificate, position): (&'a CertificateDer<'static>, usize)| match parse_x509_certificate(certificate) {
            Ok(([], parsed)) => Ok(parsed),
            _ => Err(CertificateError::Certificate { file: file.to_owned(), position }),
        };
    chain.iter().zip(1..).map(parse).collect()
}

/// Each certificate names the next one as its issuer (RFC 5246, section 7.4.2; RFC 8446, section 4.4.2, no longer asks for
/// it of servers, but not every client sorts).
fn check_order(file: &Path, chain: &[X509Certificate<'_>]) -> Result<(), CertificateError> {
    for ((certificate, next), position) in chain.iter().zip(chain.iter().skip(1)).zip(1..) {
        if certificate.issuer().as_raw() != next.subject().as_raw() {
            let (issuer, next) = (certificate.issuer().to_string(), next.subject().to_string());
            return Err(CertificateError::Order { file: file.to_owned(), position, issuer, next });
        }
    }
    Ok(())
}

/// The time in which all of them are valid, which `now` is in.
fn check_dates(
    file: &Path,
    chain: &[X509Certificate<'_>],
    now: SystemTime,
) -> Result<(SystemTime, SystemTime), CertificateError> {
    let mut whole: Option<(SystemTime, SystemTime)> = None;
    for (certificate, position) in chain.iter().zip(1..) {
        let validity = certificate.validity();
        let (start, end) = (system_time(validity.not_before), system_time(validity.not_after));
        if now < start {
            let date = validity.not_before.to_string();
            return Err(CertificateError::NotYetValid { file: file.to_owned(), position, date });
        }
        if now > end {
            let date = validity.not_after.to_string();
            return Err(CertificateError::Expired { file: file.to_owned(), position, date });
        }
        whole = Some(whole.map_or((start, end), |(first, last)| (first.max(start), last.min(end))));
    }
    whole.ok_or_else(|| CertificateError::NoCertificate { file: file.to_owned() })
}

/// Takes the last certificate at its word and verifies the others from it, as a client would. There is nothing to verify
/// where the file holds the server's own certificate alone.
fn check_signatures(
    file: &Path,
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<(), CertificateError> {
    let [leaf, intermediates @ .., last] = chain else { return Ok(()) };
    verify(leaf, intermediates, last, provider, now)
        .map_err(|reason| CertificateError::Chain { file: file.to_owned(), reason })
}

/// Whether a client that trusts `anchor` accepts `leaf` as a server's certificate, whatever its names.
pub(super) fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<(), RustlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(leaf)?,
        &roots,
        intermediates,
        now,
        algorithms,
    )
}

/// The names of its subject alternative names, in lower case, and the addresses there. The common name does not count
/// (RFC 9525, section 2).
fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(octets) => addresses.extend(address(octets)),
            _ => {}
        }
    }
    (names, addresses)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

/// A date before 1970, which no certificate in use has, counts as 1970.
fn system_time(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
