//! A certification authority of the gateway's own, for development.
//!
//! It lives in a folder: `ca.pem`, which a developer makes clients trust, `ca.key`, and a certificate for this machine's
//! own names, `server.pem` and `server.key`. All is made at first start, kept, and renewed in time. Trusting it is no
//! risk elsewhere: name constraints (RFC 5280, section 4.2.1.10) bind the authority to those names.
//!
//! Processes that start at once are kept apart by a lock on the folder, held until the certificate is read: no one sees
//! half of a renewal. Files appear whole or not at all. A crash between a key and its certificate leaves a pair that does
//! not match, which the next start replaces.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::{client::verify_server_name, crypto::CryptoProvider, pki_types::ServerName, server::ParsedCertificate};

use crate::{
    config::CertificateFiles,
    edge::tls::{AuthorityError, Certificate, CertificateError, Errors, certificates::verify},
};

const AUTHORITY_LIFE: Duration = Duration::from_hours(3650 * 24);
const SERVER_LIFE: Duration = Duration::from_hours(90 * 24);

/// Certificates begin a little in the past, for clients whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The longest wait for another process that is at work in the folder; it writes four small files.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// From one look at the lock to the next.
const LOCK_POLL: Duration = Duration::from_millis(10);

const NAME: &str = "localhost";
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The certificate of the authority in `directory` for this machine's own names; whatever is missing, broken or near its
/// end as of `now` is made anew first.
pub(super) fn load(
    directory: &Path,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Certificate, AuthorityError> {
    fs::create_dir_all(directory)
        .map_err(|source| AuthorityError::Directory { directory: directory.to_owned(), source })?;
    let _lock = lock(directory, LOCK_WAIT)?;
    let (authority_files, server_files) = files(directory);

    let authority = if let Some(authority) = keep(Certificate::load_authority(&authority_files, provider, now), now)? {
        authority
    } else {
        make_authority(&authority_files, now)?;
        Certificate::load_authority(&authority_files, provider, now)?
    };
    if let Some(server) = keep(Certificate::load(&server_files, provider, now), now)?
        && is_issued_by(&server, &authority, provider, now)
    {
        return Ok(server);
    }
    make_server(&server_files, &authority_files, now)?;
    let server = Certificate::load(&server_files, provider, now)?;
    if is_issued_by(&server, &authority, provider, now) {
        Ok(server)
    } else {
        Err(AuthorityError::Foreign { file: authority_files.chain })
    }
}

/// The certificate that [`load`] would keep, if it is there. Makes nothing.
///
/// # Errors
/// Where a file is there and cannot be read, which [`load`] would fail on.
pub(super) fn look(
    directory: &Path,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Option<Certificate>, AuthorityError> {
    let (authority, server) = files(directory);
    let authority = keep(Certificate::load_authority(&authority, provider, now), now)?;
    let server = keep(Certificate::load(&server, provider, now), now)?;
    Ok(authority
        .zip(server)
        .filter(|(authority, server)| is_issued_by(server, authority, provider, now))
        .map(|both| both.1))
}

/// The files of the authority and those of the server.
fn files(directory: &Path) -> (CertificateFiles, CertificateFiles) {
    let pair = |chain, key| CertificateFiles { chain: directory.join(chain), key: directory.join(key) };
    (pair("ca.pem", "ca.key"), pair("server.pem", "server.key"))
}

/// What was loaded, unless it has to be made anew. Files that are there and cannot be read are an error: they are
/// somebody's, and replacing an authority costs its users their trust in it.
fn keep(
    loaded: Result<Certificate, Errors<CertificateError>>,
    now: SystemTime,
) -> Result<Option<Certificate>, Errors<CertificateError>> {
    let Errors(errors) = match loaded {
        Ok(certificate) => return Ok(Some(certificate).filter(|certificate| !is_due(certificate.validity(), now))),
        Err(errors) => errors,
    };
    errors.into_iter().find(is_closed).map_or(Ok(None), |error| Err(error.into()))
}

/// Whether a file is there and cannot be read.
fn is_closed(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Unreadable { source, .. } if source.kind() != io::ErrorKind::NotFound)
}

/// Whether less than a third of a life remains.
pub(super) fn is_due((start, end): (SystemTime, SystemTime), now: SystemTime) -> bool {
    let life = end.duration_since(start).unwrap_or_default();
    end.duration_since(now).unwrap_or_default() < life / 3
}

/// Whether a client that trusts this authority accepts this certificate for each of this machine's own names.
fn is_issued_by(server: &Certificate, authority: &Certificate, provider: &CryptoProvider, now: SystemTime) -> bool {
    let (Ok(server), Ok(authority)) = (server.key().end_entity_cert(), authority.key().end_entity_cert()) else {
        return false;
    };
    let Ok(parsed) = ParsedCertificate::try_from(server) else { return false };
    let mut names = ServerName::try_from(NAME).into_iter().chain(ADDRESSES.map(ServerName::from));
    verify(server, &[], authority, provider, now).is_ok()
        && names.all(|name| verify_server_name(&parsed, &name).is_ok())
}

fn make_authority(files: &CertificateFiles, now: SystemTime) -> Result<(), AuthorityError> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(now, AUTHORITY_LIFE);
    parameters.distinguished_name = authority_name();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let addresses = ADDRESSES.map(|address| {
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, if address.is_ipv4() { 32 } else { 128 }))
    });
    let mut permitted_subtrees = vec![GeneralSubtree::DnsName(NAME.to_owned())];
    permitted_subtrees.extend(addresses);
    parameters.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    let certificate = parameters.self_signed(&key)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.chain, &certificate.pem(), 0o644)
}

fn make_server(files: &CertificateFiles, authority: &CertificateFiles, now: SystemTime) -> Result<(), AuthorityError> {
    let unreadable = |source| CertificateError::Unreadable { file: authority.key.clone(), source };
    let authority_key =
        KeyPair::from_pem(&fs::read_to_string(&authority.key).map_err(unreadable).map_err(Errors::from)?)?;
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = authority_name();
    let issuer = Issuer::new(issuer, authority_key);

    let key = KeyPair::generate()?;
    let mut parameters = parameters(now, SERVER_LIFE);
    parameters.distinguished_name = common_name(NAME);
    parameters.subject_alt_names = vec![SanType::DnsName(NAME.try_into()?)];
    parameters.subject_alt_names.extend(ADDRESSES.map(SanType::IpAddress));
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&key, &issuer)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.chain, &certificate.pem(), 0o644)
}

fn parameters(now: SystemTime, life: Duration) -> CertificateParams {
    let now = date_time_ymd(1970, 1, 1) + now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut parameters = CertificateParams::default();
    parameters.not_before = now - CLOCK_SKEW;
    parameters.not_after = now + life;
    parameters
}

/// Always the same, so that an issuer can be made of the key alone.
fn authority_name() -> DistinguishedName {
    common_name("todo-gateway local authority")
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Takes the folder for this process until the file is dropped. The kernel frees it when a process dies.
fn lock(directory: &Path, longest: Duration) -> Result<File, AuthorityError> {
    let unusable = |source| AuthorityError::Directory { directory: directory.to_owned(), source };
    let file = directory.join(".lock");
    let opened =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file).map_err(unusable)?;
    let start = Instant::now();
    loop {
        match opened.try_lock() {
            Ok(()) => return Ok(opened),
            Err(TryLockError::WouldBlock) if start.elapsed() < longest => thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(AuthorityError::Busy { file }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

/// Puts a whole file in the place of `file`, never readable by more than `mode` says, and there after a power cut.
fn write(file: &Path, content: &str, mode: u32) -> Result<(), AuthorityError> {
    let place = || {
        // the lock makes the name ours; what a crash left there may have another mode
        let temporary = file.with_added_extension("new");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        written.write_all(content.as_bytes())?;
        written.sync_all()?;
        fs::rename(&temporary, file)?;
        file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    place().map_err(|source| AuthorityError::Write { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests;
