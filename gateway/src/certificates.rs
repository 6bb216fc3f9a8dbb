//! Stand-in until the edge's own certificates are merged.

use std::{fs, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::config::Tls;

/// A certificate of the moment.
pub fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>, String> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    if let Some(folder) = &tls.local_authority {
        let _ = fs::create_dir_all(folder);
        let _ = fs::write(folder.join("ca.pem"), made.cert.pem());
    }
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
