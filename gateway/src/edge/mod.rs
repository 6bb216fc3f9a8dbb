//! What happens before there is a request: accept, connection caps, TLS, and the reading of heads.
//!
//! The edge is a Pingora application of its own in front of Pingora's proxy. It takes raw connections, because Pingora
//! offers neither a TLS configuration of ours, nor a deadline for a head, nor a cap on connections, and answers malformed
//! heads before any hook. See `docs/decisions/0002-own-listener-and-http1-loop.md`.
//!
//! The edge knows nothing of routes, logs or metrics: what it needs and whom it tells stands behind [`Surroundings`].

mod age;
mod body_deadline;
mod caps;
mod chunks;
mod closed;
mod flood;
mod frames;
mod gate;
mod head;
mod http1;
mod http2;
mod options;
mod pace;
mod paced;
pub mod proxy_protocol;
mod rate;
mod stream;
pub mod tls;
mod watch;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
pub(crate) use body_deadline::await_body_until;
use bytes::Bytes;
pub use caps::{Cap, CapLimits};
pub use closed::Closed;
pub use flood::FloodLimits;
pub use head::{ALLOW, HeadLimits, Refusal};
pub(crate) use pace::Pace;
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
    paced::Paced,
    proxy_protocol::{Awaited, ProxyRule},
    stream::EdgeStream,
};

/// The edge's part of a configuration snapshot; read anew for each connection and each request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The TLS of the HTTPS endpoint.
    pub tls: Arc<ServerConfig>,
    /// Who has to announce clients, where somebody has.
    pub proxy: Option<ProxyRule>,
    /// The longest handshake.
    pub handshake_timeout: Duration,
    /// The longest wait for a request to begin.
    pub idle_timeout: Duration,
    /// How long a stop leaves a connection open that waits for a request.
    pub idle_grace: Duration,
    /// The longest time from the first octet of a head to its last.
    pub head_timeout: Duration,
    /// How long a client may keep us waiting for a body; what is paid off by `min_rate` does not count.
    pub body_timeout: Duration,
    /// The same for taking what is sent.
    pub write_timeout: Duration,
    /// The slowest that a client may be in the long run, in octets a second.
    pub min_rate: u64,
    /// How old a connection may become.
    pub max_age: Duration,
    /// How long the requests of one that became too old may go on.
    pub age_grace: Duration,
    /// How many connections there may be.
    pub caps: CapLimits,
    /// Streams of a connection at the same time.
    pub http2_streams: u32,
    /// What of HTTP/2 a connection may do beyond the work it brings.
    pub floods: FloodLimits,
    /// How large a head may be.
    pub head: HeadLimits,
}

/// What the edge needs from the rest of the gateway, and whom it tells.
pub trait Surroundings: Send + Sync + 'static {
    /// The settings in force.
    fn settings(&self) -> Arc<Settings>;

    /// Which endpoint listens on this port.
    fn endpoint(&self, local: SocketAddr) -> Endpoint;

    /// Whether this peer is a proxy of our own, which brings many clients.
    fn is_proxy(&self, peer: IpAddr) -> bool;

    /// Whether there is too little left of what the process may use to take another connection.
    fn is_overloaded(&self) -> bool;

    /// A connection was accepted, and begins with its handshake: a stop waits until the last of what this returns is dropped.
    fn accepted(&self) -> Arc<()>;

    /// A connection has passed its handshake, if it has one. `open` connections are open with it.
    fn opened(&self, info: &ConnectionInfo, open: usize);

    /// A connection ends before a request could begin on it; the cap, if that is why.
    fn turned_away(&self, peer: SocketAddr, endpoint: Endpoint, reason: Closed, cap: Option<Cap>);

    /// A head is refused: logs and counts it, and returns the octets of the whole answer, after which the connection is
    /// closed; none where it is to end without a word.
    /// `received` octets of it have arrived.
    fn refused(&self, info: &ConnectionInfo, refusal: &Refusal, received: usize) -> Bytes;

    /// A request over HTTP/2 was refused by what reads it, before there was one of ours: logs and counts it. Whether its
    /// connection may go on, and the bare answer out.
    fn rejected(&self, info: &ConnectionInfo) -> bool;

    /// A connection that was opened has ended, however that came.
    fn closed(&self, info: &ConnectionInfo, end: &End);
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why, if that was our doing.
    pub reason: Option<Closed>,
    /// Requests that were served on it.
    pub served: u64,
    /// Streams that were refused because there were too many.
    pub refused_streams: u64,
}

/// The application that listens.
pub struct Edge<SV> {
    proxy: Arc<HttpProxy<SV>>,
    surroundings: Arc<dyn Surroundings>,
    connections: Arc<Connections>,
    awaited: Awaited,
}

impl<SV> Edge<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    /// The edge in front of a proxy.
    pub fn new(mut proxy: HttpProxy<SV>, surroundings: Arc<dyn Surroundings>) -> Self {
        let mut options = HttpServerOptions::default();
        // Without it Pingora answers CONNECT by itself; with it the request filter refuses it as we refuse everything.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        Self { proxy: Arc::new(proxy), surroundings, connections: Arc::default(), awaited: Awaited::default() }
    }

    async fn serve(&self, mut tcp: TcpStream, shutdown: &ShutdownWatch, accepted: &Arc<()>) {
        let Some((mut peer, local)) = ends(&tcp) else { return };
        let endpoint = self.surroundings.endpoint(local);
        let settings = self.surroundings.settings();
        if let Some(rule) = &settings.proxy {
            if self.surroundings.is_overloaded() {
                let cap = Some(Cap::Overload);
                return self.surroundings.turned_away(peer, endpoint, Closed::ConnectionsExceeded, cap);
            }
            // Who waits for a header is not counted yet: there is room for as many as for connections.
            let bounds = (settings.head_timeout, settings.caps.total.saturating_sub(self.connections.open()));
            peer = match self.awaited.read(&mut tcp, peer, rule, bounds).await {
                Ok(announced) => announced,
                Err(reason) => {
                    if let Some(reason) = reason {
                        let cap = (reason == Closed::ConnectionsExceeded).then_some(Cap::Total);
                        self.surroundings.turned_away(peer, endpoint, reason, cap);
                    }
                    return;
                }
            };
        }
        let ends = (peer, local);
        let turn_away = |reason, cap| self.surroundings.turned_away(peer, endpoint, reason, cap);
        let slot = match self.admit(peer.ip(), endpoint, &settings.caps) {
            Ok(slot) => slot,
            Err(cap) => return turn_away(Closed::ConnectionsExceeded, Some(cap)),
        };
        let reading = Pace::new(settings.body_timeout, settings.min_rate);
        let tcp = Paced::new(tcp, reading, Pace::new(settings.write_timeout, settings.min_rate));
        let stream = match endpoint {
            Endpoint::Http => EdgeStream::plain(tcp, ends, slot).ok(),
            Endpoint::Https => match self.handshake(tcp, ends, slot, &settings).await {
                Ok(stream) => Some(stream),
                Err(reason) => return turn_away(reason, None),
            },
        };
        drop(settings);
        let Some(mut stream) = stream else { return };
        stream.hold(Arc::clone(accepted));
        let presence = Presence::begin(&*self.surroundings, stream.info().clone(), self.connections.open());
        match stream.info().protocol {
            Protocol::Http1 => http1::serve(&self.proxy, presence, Gate::new(stream), shutdown).await,
            Protocol::Http2 => http2::serve(&self.proxy, presence, stream, shutdown).await,
        }
    }

    /// Decides about a connection before anything is spent on it.
    fn admit(&self, peer: IpAddr, endpoint: Endpoint, caps: &CapLimits) -> Result<Slot, Cap> {
        if self.surroundings.is_overloaded() {
            return Err(Cap::Overload);
        }
        let is_proxy = self.surroundings.is_proxy(peer);
        let slot = self.connections.enter(peer, caps, is_proxy)?;
        if endpoint == Endpoint::Https {
            self.connections.begin_handshake(peer, caps, is_proxy)?;
        }
        Ok(slot)
    }

    async fn handshake(
        &self,
        tcp: Paced,
        ends: (SocketAddr, SocketAddr),
        slot: Slot,
        settings: &Settings,
    ) -> Result<EdgeStream, Closed> {
        let accept = TlsAcceptor::from(settings.tls.clone()).accept(tcp);
        let stream = timeout(settings.handshake_timeout, accept).await.map_err(|_| Closed::HandshakeTimeout)?;
        stream
            .and_then(|stream| EdgeStream::tls(stream, ends, slot, settings.floods))
            .map_err(|_| Closed::HandshakeFailed)
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
        let accepted = self.surroundings.accepted();
        self.serve(*tcp, shutdown, &accepted).await;
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
    /// Streams that were refused.
    refused_streams: u64,
}

impl<'a> Presence<'a> {
    fn begin(surroundings: &'a dyn Surroundings, info: Arc<ConnectionInfo>, open: usize) -> Self {
        surroundings.opened(&info, open);
        Self { surroundings, info, reason: None, served: 0, refused_streams: 0 }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let end = End { reason: self.reason, served: self.served, refused_streams: self.refused_streams };
        self.surroundings.closed(&self.info, &end);
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
