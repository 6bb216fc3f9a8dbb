//! Certificates of an authority that only the tests trust.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
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

/// A folder that holds a pair the way a mounted volume of Kubernetes does: its files are links through `..data`, which is
/// a link to a folder, and which is replaced when the content changes.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// The volume in this folder, with this pair.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(folder: &Path, pair: &Pair) -> io::Result<Self> {
        let volume = Self { folder: folder.to_owned() };
        fs::create_dir(folder)?;
        volume.mount("first", pair)?;
        for file in [volume.chain(), volume.key()] {
            symlink(Path::new("..data").join(file.file_name().unwrap_or_default()), file)?;
        }
        Ok(volume)
    }

    /// The file of the chain.
    pub fn chain(&self) -> PathBuf {
        self.folder.join("chain.pem")
    }

    /// The file of the key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Swaps the whole content at once, under a name that was not used before.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn mount(&self, name: &str, pair: &Pair) -> io::Result<()> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        write(&folder.join("chain.pem"), &pair.chain)?;
        write(&folder.join("key.pem"), &pair.key)?;
        symlink(name, self.folder.join("..data_tmp"))?;
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))
    }

    /// The gateway's configuration for it.
    pub fn toml(&self) -> String {
        let (chain, key) = (self.chain(), self.key());
        format!(
            "[tls]\nlocal_authority = false\n[[tls.certificates]]\nchain = \"{}\"\nkey = \"{}\"\n",
            chain.display(),
            key.display()
        )
    }
}

/// Writes a file that only its owner reads.
///
/// # Errors
/// Those of the file system.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}
