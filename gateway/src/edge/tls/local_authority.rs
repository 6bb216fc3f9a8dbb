//! A certification authority of the gateway's own, for development: made at first start, kept, renewed in time.
//!
//! `ca.pem` is what a developer trusts, `ca.key` signs, `server.pem` and `server.key` are served. Whatever is missing,
//! broken or in the last third of its life is made again; the leaf follows the authority. A lock file keeps two
//! processes that start together from mixing their pairs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use x509_parser::prelude::*;

use crate::edge::tls::certificate::{CertificateError, since_epoch};

const DAY: Duration = Duration::from_hours(24);
const AUTHORITY_LIFE: Duration = Duration::from_hours(24 * 3650);
const LEAF_LIFE: Duration = Duration::from_hours(24 * 90);

const OPEN_TO_ALL: u32 = 0o644;
const SECRET: u32 = 0o600;

/// The files of the leaf and its key, made or renewed if need be.
pub(super) fn ensure(folder: &Path, now: SystemTime) -> Result<(PathBuf, PathBuf), CertificateError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Unwritable { path, source }
    };
    fs::create_dir_all(folder).map_err(unwritable(folder))?;
    let lock_path = folder.join("lock");
    let lock =
        OpenOptions::new().create(true).append(true).mode(SECRET).open(&lock_path).map_err(unwritable(&lock_path))?;
    lock.lock().map_err(unwritable(&lock_path))?;

    let [ca, ca_key, leaf, leaf_key] = ["ca.pem", "ca.key", "server.pem", "server.key"].map(|name| folder.join(name));
    let kept = load_pair(&ca, &ca_key).filter(|(certificate, _)| is_fresh(certificate, AUTHORITY_LIFE, now));
    let (authority, is_new) = if let Some((_, key)) = kept {
        (key, false)
    } else {
        let (certificate, key) = make_authority(now)?;
        write_pair(&ca, &ca_key, &certificate, &key)?;
        (key, true)
    };
    let leaf_is_kept = !is_new
        && load_pair(&leaf, &leaf_key).is_some_and(|(certificate, _)| {
            is_fresh(&certificate, LEAF_LIFE, now) && is_signed_by(&certificate, &authority)
        });
    if !leaf_is_kept {
        let (certificate, key) = make_leaf(authority, now)?;
        write_pair(&leaf, &leaf_key, &certificate, &key)?;
    }
    Ok((leaf, leaf_key))
}

/// A certificate (DER) and its key, if both can be read and belong together.
fn load_pair(certificate: &Path, key: &Path) -> Option<(Vec<u8>, KeyPair)> {
    let pem = fs::read(certificate).ok()?;
    let key = KeyPair::from_pem(&fs::read_to_string(key).ok()?).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let parsed = pem.parse_x509().ok()?;
    let belongs = parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
    belongs.then(|| (pem.contents.clone(), key))
}

/// Whether a certificate is valid and not yet in the last third of its life.
fn is_fresh(der: &[u8], life: Duration, now: SystemTime) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let now = i64::try_from(since_epoch(now).as_secs()).unwrap_or(i64::MAX);
    let reserve = i64::try_from(life.as_secs() / 3).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    validity.not_before.timestamp() <= now && now < validity.not_after.timestamp().saturating_sub(reserve)
}

fn is_signed_by(leaf: &[u8], authority: &KeyPair) -> bool {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
    let spki = rcgen::PublicKeyData::subject_public_key_info(authority);
    let Ok((_, spki)) = SubjectPublicKeyInfo::from_der(&spki) else { return false };
    leaf.verify_signature(Some(&spki)).is_ok()
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "todo development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn make_authority(now: SystemTime) -> Result<(Certificate, KeyPair), CertificateError> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = authority_params();
    set_life(&mut params, now, AUTHORITY_LIFE);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate, key))
}

fn make_leaf(authority: KeyPair, now: SystemTime) -> Result<(Certificate, KeyPair), CertificateError> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(failed)?;
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, now, LEAF_LIFE);
    let issuer = Issuer::new(authority_params(), authority);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok((certificate, key))
}

/// From a day ago, for clocks that are behind, and with a serial number of its own, without which browsers take a new
/// certificate for a forgery of the old one.
fn set_life(params: &mut CertificateParams, now: SystemTime, life: Duration) {
    params.not_before = (now - DAY).into();
    params.not_after = (now + life).into();
    params.serial_number = Some(SerialNumber::from_slice(uuid::Uuid::new_v4().as_bytes()));
}

fn failed(error: rcgen::Error) -> CertificateError {
    CertificateError::Tls(error.to_string())
}

/// The key first: a certificate without its key is made again, a key without its certificate too.
fn write_pair(
    certificate_path: &Path,
    key_path: &Path,
    certificate: &Certificate,
    key: &KeyPair,
) -> Result<(), CertificateError> {
    let write = |path: &Path, text: String, mode| {
        replace(path, text.as_bytes(), mode)
            .map_err(|source| CertificateError::Unwritable { path: path.to_owned(), source })
    };
    write(key_path, key.serialize_pem(), SECRET)?;
    write(certificate_path, certificate.pem(), OPEN_TO_ALL)
}

/// Replaces a file whole: a reader sees the old octets or the new ones. The mode holds from the first octet on.
fn replace(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file: File = OpenOptions::new().create_new(true).write(true).mode(mode).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
