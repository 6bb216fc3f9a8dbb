//! A client's connection as the edge hands it on: TCP or TLS, with what is known of it.
//!
//! Pingora asks a connection for digests and copies them to every session on it, over HTTP/1 and HTTP/2 alike. Ours
//! travel in the one of them that carries data of the caller's own, so that a filter finds them by
//! [`connection_info`] whatever the protocol.
//!
//! The file is as long as it is because Pingora wants nine traits of a connection.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType, l4::stream::Stream as TcpStream, raw_connect::ProxyDigest, tls::SslDigest,
};
use pingora_proxy::Session;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::edge::{
    Closed,
    caps::Slot,
    flood::FloodLimits,
    paced::Paced,
    watch::{FrameWatch, Seen},
};

/// Which listener a connection came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// TLS; requests are served.
    Https,
    /// Plain; requests are redirected, or served for a load balancer that ends TLS.
    Http,
}

impl Endpoint {
    /// The name that logs and metric labels show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// The protocol that is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// What is known of a connection for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The address at the other end of the connection: the client or a proxy.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Which listener that belongs to.
    pub endpoint: Endpoint,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The handshake's outcome, on a TLS endpoint.
    pub tls: Option<TlsInfo>,
    /// When requests could begin on it.
    pub opened: Instant,
    cut: OnceLock<Closed>,
    /// Set when a request has found it too old: its answer is the last one.
    old: OnceLock<()>,
}

impl ConnectionInfo {
    /// Whether it has lasted this long, found by a request whose answer then says that it is the last one.
    pub fn grows_old(&self, age: Duration) -> bool {
        let is_old = self.opened.elapsed() >= age;
        if is_old {
            let _ = self.old.set(());
        }
        is_old
    }

    /// Whether a request has found that.
    pub(crate) fn has_grown_old(&self) -> bool {
        self.old.get().is_some()
    }

    /// What is still on it is cut, for this reason.
    pub(crate) fn cut(&self, reason: Closed) {
        // The first reason is the reason.
        let _ = self.cut.set(reason);
    }

    /// Why what was on it has been cut by us.
    pub fn was_cut_for(&self) -> Option<Closed> {
        self.cut.get().copied()
    }
}

/// The connection that a request came over. `None` only for sessions that did not come through the edge.
pub fn connection_info(session: &Session) -> Option<&ConnectionInfo> {
    let digest = session.digest()?.proxy_digest.as_ref()?;
    digest.user_data.as_ref()?.downcast_ref::<Arc<ConnectionInfo>>().map(Arc::as_ref)
}

/// The transport under a connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain TCP.
    Plain(Box<Paced>),
    /// TLS over TCP, after its handshake.
    Tls(Box<TlsStream<Paced>>),
}

/// A connection, past its handshake. Its slot among all connections comes free when it is dropped.
#[derive(Debug)]
pub(crate) struct EdgeStream {
    transport: Transport,
    info: Arc<ConnectionInfo>,
    established: SystemTime,
    proxy_digest: Arc<ProxyDigest>,
    /// For HTTP/2 only.
    frames: Option<Box<FrameWatch>>,
    seen: Arc<Seen>,
    ssl_digest: Option<Arc<SslDigest>>,
    /// What a stop waits for, also while we only read on after the last answer.
    held: Option<Arc<()>>,
    _slot: Slot,
}

impl EdgeStream {
    pub(crate) fn plain(stream: Paced, ends: (SocketAddr, SocketAddr), slot: Slot) -> io::Result<Self> {
        let (peer, local) = ends;
        let info = ConnectionInfo {
            peer,
            local,
            endpoint: Endpoint::Http,
            protocol: Protocol::Http1,
            tls: None,
            opened: Instant::now(),
            cut: OnceLock::new(),
            old: OnceLock::new(),
        };
        Self::new(Transport::Plain(Box::new(stream)), info, None, slot)
    }

    pub(crate) fn tls(
        stream: TlsStream<Paced>,
        ends: (SocketAddr, SocketAddr),
        slot: Slot,
        floods: FloodLimits,
    ) -> io::Result<Self> {
        let (peer, local) = ends;
        let session = stream.get_ref().1;
        let (version, version_name) = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => ("1.2", "TLSv1.2"),
            _ => ("1.3", "TLSv1.3"),
        };
        let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
        let tls = TlsInfo { version, resumed: session.handshake_kind() == Some(HandshakeKind::Resumed) };
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let digest = SslDigest::new(cipher, version_name, None, None, Vec::new());
        let info = ConnectionInfo {
            peer,
            local,
            endpoint: Endpoint::Https,
            protocol,
            tls: Some(tls),
            opened: Instant::now(),
            cut: OnceLock::new(),
            old: OnceLock::new(),
        };
        let mut stream = Self::new(Transport::Tls(Box::new(stream)), info, Some(Arc::new(digest)), slot)?;
        if protocol == Protocol::Http2 {
            stream.frames = Some(Box::new(FrameWatch::new(floods, Arc::clone(&stream.seen))));
        }
        Ok(stream)
    }

    fn new(
        transport: Transport,
        info: ConnectionInfo,
        ssl_digest: Option<Arc<SslDigest>>,
        slot: Slot,
    ) -> io::Result<Self> {
        let info = Arc::new(info);
        let carrier =
            pingora::http::ResponseHeader::build(200, Some(0)).map_err(|error| io::Error::other(error.to_string()))?;
        let proxy_digest = Arc::new(ProxyDigest::new(Box::new(carrier), Some(Box::new(info.clone()))));
        let (established, seen) = (SystemTime::now(), Arc::default());
        Ok(Self { transport, info, established, proxy_digest, frames: None, seen, ssl_digest, held: None, _slot: slot })
    }

    pub(crate) fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// What can be learned of an HTTP/2 connection while the library has it.
    pub(crate) const fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Keeps what a stop waits for.
    pub(crate) fn hold(&mut self, accepted: Arc<()>) {
        self.held = Some(accepted);
    }

    /// Whether the client owes us the rest of a body.
    pub(crate) fn await_body(&mut self, awaits: bool) {
        match &mut self.transport {
            Transport::Plain(stream) => stream.await_body(awaits),
            Transport::Tls(stream) => stream.get_mut().0.await_body(awaits),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.transport {
            Transport::Plain(stream) => stream.tcp(),
            Transport::Tls(stream) => stream.get_ref().0.tcp(),
        }
    }

    fn poll_transport(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.abuse().is_some() {
            // Nothing it says is read any more. Whoever polls looks for the abuse next.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(self.poll_transport(context, buffer))?;
        if let Some(frames) = &mut self.frames {
            frames.received(buffer.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream.as_mut()).poll_write(context, octets),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, octets),
        })?;
        if let Some(frames) = &mut self.frames {
            frames.sent(octets.get(..written).unwrap_or_default());
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_lingering = self.frames.as_ref().is_some_and(|frames| frames.is_lingering());
        if !is_lingering {
            ready!(match &mut self.transport {
                Transport::Plain(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
                Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            })?;
        }
        loop {
            if self.frames.as_mut().is_none_or(|frames| frames.has_lingered(context)) {
                return Poll::Ready(Ok(()));
            }
            let mut sink = [0; 4 << 10];
            let mut buffer = ReadBuf::new(&mut sink);
            match ready!(self.poll_transport(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
            if let Some(frames) = &mut self.frames {
                frames.linger(buffer.filled().len());
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        })?;
        if let Some(frames) = &mut self.frames {
            let mut left = written;
            for slice in slices {
                let octets = slice.get(..left.min(slice.len())).unwrap_or_default();
                frames.sent(octets);
                left -= octets.len();
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[async_trait]
impl Shutdown for EdgeStream {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nothing left to tell it.
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for EdgeStream {
    fn id(&self) -> UniqueIDType {
        self.tcp().id()
    }
}

impl Ssl for EdgeStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl_digest.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.ssl_digest.as_ref().map(|_| match self.info.protocol {
            Protocol::Http1 => ALPN::H1,
            Protocol::Http2 => ALPN::H2,
        })
    }
}

impl GetTimingDigest for EdgeStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.established, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for EdgeStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.proxy_digest.clone())
    }
}

impl GetSocketDigest for EdgeStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.tcp().get_socket_digest()
    }
}

impl Peek for EdgeStream {}
