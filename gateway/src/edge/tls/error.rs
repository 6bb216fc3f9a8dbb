//! What can be wrong with certificates: one sentence for each mistake, for the operator who has to mend it.
//!
//! No sentence repeats what a key file holds.

use std::{fmt, io, path::PathBuf};

use rustls::Error as RustlsError;

use crate::edge::tls::{TicketKeyError, certificates::MAX_FILE, local_authority::LOCK_WAIT};

/// Everything that is wrong, one a line; never empty.
#[derive(Debug)]
pub struct Errors<E>(pub Vec<E>);

impl<E> From<E> for Errors<E> {
    fn from(error: E) -> Self {
        Self(vec![error])
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Errors<E> {}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A given certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The local authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The shared ticket keys cannot be used.
    #[error(transparent)]
    TicketKeys(#[from] TicketKeyError),
    /// Neither certificates nor an authority were given.
    #[error("there is no certificate to serve")]
    NoCertificate,
    /// rustls refuses its configuration, or the system has no randomness.
    #[error("TLS cannot be configured: {0}")]
    Provider(#[from] RustlsError),
}

/// Why a certificate cannot be used. Positions count from 1.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each sentence says what its variant and fields are")]
pub enum CertificateError {
    #[error("{} cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is larger than {MAX_FILE} octets, so it is neither a certificate nor a key", file.display())]
    TooLarge { file: PathBuf },
    #[error("{} is broken: its PEM form cannot be decoded", file.display())]
    Pem { file: PathBuf },
    #[error("{} holds no certificate in PEM form", file.display())]
    NoCertificate { file: PathBuf },
    #[error("certificate {position} of {} is not a valid X.509 certificate", file.display())]
    Certificate { file: PathBuf, position: usize },
    #[error(
        "{} is out of order: certificate {position} was issued by \"{issuer}\", but the next one is \"{next}\"; the \
         server's own certificate comes first, then each one's issuer",
        file.display()
    )]
    Order { file: PathBuf, position: usize, issuer: String, next: String },
    #[error("certificate {position} of {} expired on {date}", file.display())]
    Expired { file: PathBuf, position: usize, date: String },
    #[error("certificate {position} of {} is not valid before {date}", file.display())]
    NotYetValid { file: PathBuf, position: usize, date: String },
    #[error("{} is not a chain that a client can follow: {reason}", file.display())]
    Chain { file: PathBuf, reason: RustlsError },
    #[error("the first certificate of {} names no host (subject alternative name), so no client accepts it", file.display())]
    NoNames { file: PathBuf },
    #[error("{} holds no unencrypted private key in PEM form", file.display())]
    NoKey { file: PathBuf },
    #[error("the private key in {} is of no kind that can be used (RSA, ECDSA, Ed25519)", file.display())]
    Key { file: PathBuf },
    #[error("the private key in {} does not belong to the first certificate of {}", key.display(), chain.display())]
    KeyMismatch { chain: PathBuf, key: PathBuf },
}

/// What is good now and should not stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each sentence says what its variant and fields are")]
pub enum Warning {
    #[error("{} expires in {days} days", file.display())]
    ExpiresSoon { file: PathBuf, days: u64 },
    #[error("the private key in {} is open to other users (mode {mode:03o}); chmod 600 closes it", file.display())]
    KeyOpenToOthers { file: PathBuf, mode: u32 },
    #[error("the ticket keys in {} are open to other users (mode {mode:03o}); chmod 600 closes the file", file.display())]
    TicketKeysOpenToOthers { file: PathBuf, mode: u32 },
    #[error(
        "no ticket key in {} is in force, so no session is resumed; `todo-gateway ticket-key {}` makes one",
        file.display(), file.display()
    )]
    NoTicketKey { file: PathBuf },
}

/// Why there is no local authority.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each sentence says what its variant and fields are")]
pub enum AuthorityError {
    #[error("the local authority cannot use the folder {}: {source}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("the local authority cannot write {}: {source}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("another process has held {} for {} seconds", file.display(), LOCK_WAIT.as_secs())]
    Busy { file: PathBuf },
    #[error("{} is not an authority of the gateway's own; move it and its key out of the folder", file.display())]
    Foreign { file: PathBuf },
    #[error("the local authority cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the local authority cannot be used: {0}")]
    Certificate(#[from] Errors<CertificateError>),
}
