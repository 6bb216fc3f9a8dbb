//! Raw octets over TCP or TLS, for what a client library would tidy up.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long an answer may take before a test calls it missing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A TLS client configuration that trusts one CA and offers the given protocols.
///
/// # Errors
/// When the CA cannot be read.
pub fn tls_config(ca: &std::path::Path, alpn: &[&str]) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    // As browsers do: the hybrid group first.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    let builder = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let mut config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Connects and shakes hands as `name`.
///
/// # Errors
/// Those of the connection and the handshake.
pub async fn connect_tls(config: Arc<ClientConfig>, port: u16, name: &str) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    shake_hands(config, stream, name).await
}

/// Shakes hands as `name` on a connection that has been used for something else until now.
///
/// # Errors
/// Those of the handshake.
pub async fn shake_hands(config: Arc<ClientConfig>, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// Sends octets and reads until the peer closes.
///
/// # Errors
/// Those of the connection; an answer that does not come within [`PATIENCE`].
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(octets).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {} octets", answer.len()))),
        // A peer that closes with octets of ours unread resets the connection: what it said before counts.
        Ok(Err(error)) if answer.is_empty() => Err(error),
        Ok(_) => Ok(answer),
    }
}

/// An answer taken apart.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields in their order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body, with chunks joined.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Reads one answer from a connection that may go on. `head_only` for answers to HEAD.
///
/// # Errors
/// Those of the connection, and an answer that is not HTTP/1.
pub async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S, head_only: bool) -> io::Result<Answer> {
    timeout(PATIENCE, read(stream, head_only)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, head_only: bool) -> io::Result<Answer> {
    let mut lines = Vec::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other(format!("not a status line: {status_line:?}")))?;
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let mut answer = Answer { status, fields, body: Vec::new() };
    if head_only || status == 204 || status == 304 || status < 200 {
        return Ok(answer);
    }
    if answer.field("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(read_line(stream).await?.split(';').next().unwrap_or_default(), 16)
                .map_err(io::Error::other)?;
            if size == 0 {
                while !read_line(stream).await?.is_empty() {}
                return Ok(answer);
            }
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            read_line(stream).await?;
            answer.body.append(&mut chunk);
        }
    }
    match answer.field("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => {
            answer.body = vec![0; length];
            stream.read_exact(&mut answer.body).await?;
        }
        None => {
            stream.read_to_end(&mut answer.body).await?;
        }
    }
    Ok(answer)
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return String::from_utf8(line).map_err(io::Error::other);
            }
            octet => line.push(octet),
        }
        if line.len() > 1 << 16 {
            return Err(io::Error::other("a line of more than 64 KiB"));
        }
    }
}
