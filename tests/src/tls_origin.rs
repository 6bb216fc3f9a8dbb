//! An origin that speaks TLS and asks for a client's certificate.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    certificates::Pair,
    origin::{ok, read_request},
};

/// A running origin; it ends with its handle.
#[derive(Debug)]
pub struct TlsOrigin {
    /// Where it listens.
    pub port: u16,
    counts: Arc<[AtomicUsize; 2]>,
    task: JoinHandle<()>,
}

impl TlsOrigin {
    /// Starts an origin with this certificate, for clients with one of this authority; it answers everything with 200.
    ///
    /// # Errors
    /// Those of the certificates and of binding a socket.
    pub async fn start(pair: &Pair, authority: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
        roots.add(root).map_err(io::Error::other)?;
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(io::Error::other)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(io::Error::other)?;
        let config = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.map_err(io::Error::other)?, key)
            .map_err(io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = counts.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), counted.clone()));
            }
        });
        Ok(Self { port, counts, task })
    }

    /// Requests that were not health checks.
    pub fn requests(&self) -> usize {
        self.counts[0].load(Ordering::Acquire)
    }

    /// Health checks.
    pub fn checks(&self) -> usize {
        self.counts[1].load(Ordering::Acquire)
    }
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, counts: Arc<[AtomicUsize; 2]>) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut held = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut held).await? {
        counts[usize::from(request.target() == "/readyz")].fetch_add(1, Ordering::AcqRel);
        stream.write_all(ok("hello").as_bytes()).await?;
    }
    Ok(())
}
