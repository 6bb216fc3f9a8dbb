//! Certificates of an authority that only the tests trust.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, whose certificate is in a file.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate in PEM form.
    pub file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and its key in PEM form.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// The certificate as it is sent.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new authority, with `ca.pem` in this folder.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = parameters.self_signed(&key).map_err(io::Error::other)?;
        let file = folder.join("ca.pem");
        fs::write(&file, certificate.pem())?;
        Ok(Self { file, issuer: Issuer::new(parameters, key) })
    }

    /// Issues a certificate for `localhost`.
    ///
    /// # Errors
    /// Those of the randomness.
    pub fn issue(&self) -> io::Result<Pair> {
        let issue = || {
            let key = KeyPair::generate()?;
            let parameters = CertificateParams::new(["localhost".to_owned()])?;
            let certificate = parameters.signed_by(&key, &self.issuer)?;
            Ok(Pair { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() })
        };
        issue().map_err(|error: rcgen::Error| io::Error::other(error))
    }
}
