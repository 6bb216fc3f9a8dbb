//! What happens before there is a request: accept, connection caps, TLS, and the reading of heads.
//!
//! The edge is a Pingora application of its own in front of Pingora's proxy. It takes raw connections, because Pingora
//! offers neither a TLS configuration of ours, nor a deadline for a head, nor a cap on connections, and answers malformed
//! heads before any hook. See `docs/decisions/0002-own-listener-and-http1-loop.md`.
//!
//! The edge knows nothing of routes, logs or metrics: what it needs and whom it tells stands behind [`Surroundings`].

mod caps;
mod chunks;
mod gate;
mod head;
mod http1;
mod http2;
mod options;
mod stream;
pub mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
pub use head::{ALLOW, HeadLimits, Refusal};
use pingora_core::{
    apps::{HttpServerApp as _, HttpServerOptions, ServerApp},
    protocols::{GetSocketDigest as _, Stream, l4::stream::Stream as TcpStream},
    server::ShutdownWatch,
};
use pingora_proxy::{HttpProxy, ProxyHttp};
use rustls::ServerConfig;
pub use stream::{ConnectionInfo, Endpoint, Protocol, TlsInfo, connection_info};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::edge::{
    caps::{Connections, Slot},
    gate::Gate,
    stream::EdgeStream,
};

/// The edge's part of a configuration snapshot; read anew for each connection and each request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The TLS of the HTTPS endpoint.
    pub tls: Arc<ServerConfig>,
    /// The longest handshake.
    pub handshake_timeout: Duration,
    /// The longest wait for a request to begin.
    pub idle_timeout: Duration,
    /// The longest time from the first octet of a head to its last.
    pub head_timeout: Duration,
    /// Connections that are open at the same time.
    pub max_connections: usize,
    /// Connections that are open at the same time from one address.
    pub max_connections_per_address: usize,
    /// How large a head may be.
    pub head: HeadLimits,
}

/// Why a connection was closed by us without an answer; the codes of logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The TLS handshake failed.
    HandshakeFailed,
    /// The TLS handshake did not end in time.
    HandshakeTimeout,
    /// A head did not begin to make sense in time.
    HeadTimeout,
    /// No request began in time.
    IdleTimeout,
    /// Too many connections, in all or from this address.
    ConnectionsExceeded,
    /// The request named a host that is not served, and the configuration says to drop those.
    HostDropped,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
}

impl Closed {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::HandshakeFailed,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::ConnectionsExceeded,
        Self::HostDropped,
        Self::WriteTimeout,
    ];

    /// The code as logs and metric labels show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::ConnectionsExceeded => "connections_exceeded",
            Self::HostDropped => "host_dropped",
            Self::WriteTimeout => "write_timeout",
        }
    }
}

/// What the edge needs from the rest of the gateway, and whom it tells.
pub trait Surroundings: Send + Sync + 'static {
    /// The settings in force.
    fn settings(&self) -> Arc<Settings>;

    /// Which endpoint listens on this port.
    fn endpoint(&self, local: SocketAddr) -> Endpoint;

    /// A connection has passed its handshake, if it has one. `open` connections are open with it.
    fn opened(&self, info: &ConnectionInfo, open: usize);

    /// A connection ends before a request could begin on it.
    fn turned_away(&self, peer: SocketAddr, endpoint: Endpoint, reason: Closed);

    /// A head is refused: logs and counts it, and returns the octets of the whole answer, after which the connection is
    /// closed; none where it is to end without a word.
    /// `received` octets of it have arrived.
    fn refused(&self, info: &ConnectionInfo, refusal: &Refusal, received: usize) -> Bytes;

    /// A connection that was opened has ended, however that came, after it served this many requests; the reason, if it
    /// was ours.
    fn closed(&self, info: &ConnectionInfo, reason: Option<Closed>, served: u64);
}

/// The application that listens.
pub struct Edge<SV> {
    proxy: Arc<HttpProxy<SV>>,
    surroundings: Arc<dyn Surroundings>,
    connections: Arc<Connections>,
}

impl<SV> Edge<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    /// The edge in front of a proxy. `http2_idle` is how long an HTTP/2 connection may be without streams.
    pub fn new(mut proxy: HttpProxy<SV>, surroundings: Arc<dyn Surroundings>, http2_idle: Duration) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(http2_idle);
        // Without it Pingora answers CONNECT by itself; with it the request filter refuses it as we refuse everything.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        proxy.h2_options = Some(http2::options());
        Self { proxy: Arc::new(proxy), surroundings, connections: Arc::default() }
    }

    async fn serve(&self, tcp: TcpStream, shutdown: &ShutdownWatch) {
        let Some(ends) = ends(&tcp) else { return };
        let (peer, local) = ends;
        let endpoint = self.surroundings.endpoint(local);
        let settings = self.surroundings.settings();
        let Some(slot) =
            self.connections.enter(peer.ip(), settings.max_connections, settings.max_connections_per_address)
        else {
            self.surroundings.turned_away(peer, endpoint, Closed::ConnectionsExceeded);
            return;
        };
        let stream = match endpoint {
            Endpoint::Http => EdgeStream::plain(tcp, ends, slot).ok(),
            Endpoint::Https => match self.handshake(tcp, ends, slot, &settings).await {
                Ok(stream) => Some(stream),
                Err(reason) => {
                    self.surroundings.turned_away(peer, endpoint, reason);
                    return;
                }
            },
        };
        drop(settings);
        let Some(stream) = stream else { return };
        let presence = Presence::begin(&*self.surroundings, stream.info().clone(), self.connections.open());
        match stream.info().protocol {
            Protocol::Http1 => http1::serve(&self.proxy, presence, Gate::new(stream), shutdown).await,
            Protocol::Http2 => http2::serve(&self.proxy, presence, stream, shutdown).await,
        }
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        ends: (SocketAddr, SocketAddr),
        slot: Slot,
        settings: &Settings,
    ) -> Result<EdgeStream, Closed> {
        let accept = TlsAcceptor::from(settings.tls.clone()).accept(tcp);
        let stream = timeout(settings.handshake_timeout, accept).await.map_err(|_| Closed::HandshakeTimeout)?;
        stream.and_then(|stream| EdgeStream::tls(stream, ends, slot)).map_err(|_| Closed::HandshakeFailed)
    }
}

#[async_trait]
impl<SV> ServerApp for Edge<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // `Box<dyn Any>` is not `Send`: it must be gone before the first await.
        let tcp = stream.into_any().downcast::<TcpStream>().ok()?;
        self.serve(*tcp, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// A connection that the surroundings know of. They learn of its end when this is dropped: a panic in a filter must not
/// leave it open in the metrics, for which a stop would wait.
struct Presence<'a> {
    surroundings: &'a dyn Surroundings,
    info: Arc<ConnectionInfo>,
    /// Why it ends, if that is our doing.
    reason: Option<Closed>,
    /// Requests so far.
    served: u64,
}

impl<'a> Presence<'a> {
    fn begin(surroundings: &'a dyn Surroundings, info: Arc<ConnectionInfo>, open: usize) -> Self {
        surroundings.opened(&info, open);
        Self { surroundings, info, reason: None, served: 0 }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.surroundings.closed(&self.info, self.reason, self.served);
    }
}

/// Both ends of a connection; `None` when it is gone already.
fn ends(tcp: &TcpStream) -> Option<(SocketAddr, SocketAddr)> {
    let digest = tcp.get_socket_digest()?;
    let inet = |address: Option<&pingora_core::protocols::l4::socket::SocketAddr>| address?.as_inet().copied();
    Some((inet(digest.peer_addr())?, inet(digest.local_addr())?))
}

#[cfg(test)]
mod tests;
