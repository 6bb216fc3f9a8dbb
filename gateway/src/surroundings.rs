//! What the edge is told and whom it tells: the snapshot's settings, the metrics and the log.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use http::HeaderValue;
use todo_shared::{problem::Code, request_id::RequestId};

use crate::{
    edge::{ALLOW, Cap, Closed, ConnectionInfo, End, Endpoint, Refusal, Settings, Surroundings},
    observe::record::{ConnectionRecord, Record},
    reply::{self, Reply},
    request::host::OnUntrusted,
    runtime::Shared,
};

/// The gateway around its edge.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// The plain listener, as it was bound at start.
    http: Option<SocketAddr>,
}

impl Gateway {
    /// Around this state, with a plain listener on this address.
    pub const fn new(shared: Arc<Shared>, http: Option<SocketAddr>) -> Self {
        Self { shared, http }
    }

    fn log(&self, record: ConnectionRecord) {
        self.shared.access_log.log(Record::Connection(record));
    }

    fn ended_by_us(&self, peer: SocketAddr, endpoint: Endpoint, reason: Closed) -> ConnectionRecord {
        self.shared.metrics.connections_closed.with_label_values(&[reason.as_str()]).inc();
        ConnectionRecord {
            time: SystemTime::now(),
            client: peer.ip().to_canonical(),
            listener: endpoint.as_str(),
            reason: reason.as_str(),
            status: None,
            request_id: None,
            detail: None,
            bytes_in: 0,
        }
    }
}

impl Surroundings for Gateway {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.runtime().edge)
    }

    fn endpoint(&self, local: SocketAddr) -> Endpoint {
        let is_plain = self.http.is_some_and(|http| {
            let ip = local.ip().to_canonical();
            http.port() == local.port() && (http.ip().is_unspecified() || http.ip().to_canonical() == ip)
        });
        if is_plain { Endpoint::Http } else { Endpoint::Https }
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.shared.runtime().config.client_address.trusts(peer)
    }

    fn is_overloaded(&self) -> bool {
        self.shared.overload.is_over()
    }

    fn accepted(&self) -> Arc<()> {
        self.shared.stopping.accepted()
    }

    fn opened(&self, info: &ConnectionInfo, _open: usize) {
        let (metrics, listener) = (&self.shared.metrics, info.endpoint.as_str());
        metrics.connections.with_label_values(&[listener]).inc();
        metrics.connections_open.with_label_values(&[listener]).inc();
        if let Some(tls) = &info.tls {
            let resumed = if tls.resumed { "true" } else { "false" };
            metrics.handshakes.with_label_values(&[tls.version, resumed]).inc();
        }
    }

    fn turned_away(&self, peer: SocketAddr, endpoint: Endpoint, reason: Closed, cap: Option<Cap>) {
        if let Some(cap) = cap {
            self.shared.metrics.connections_refused.with_label_values(&[cap.as_str()]).inc();
        }
        let record = self.ended_by_us(peer, endpoint, reason);
        self.log(ConnectionRecord { detail: cap.map(Cap::describe), ..record });
    }

    fn refused(&self, info: &ConnectionInfo, refusal: &Refusal, received: usize) -> Bytes {
        let runtime = self.shared.runtime();
        if refusal.code == Code::HostUntrusted && runtime.config.hosts.on_untrusted == OnUntrusted::Drop {
            let record = self.ended_by_us(info.peer, info.endpoint, Closed::HostDropped);
            self.log(record);
            return Bytes::new();
        }
        self.shared.metrics.refusals.with_label_values(&[refusal.code.as_str()]).inc();
        let reply = match refusal.code {
            Code::MethodNotAllowed => Reply::method_not_allowed(HeaderValue::from_static(ALLOW)),
            code => Reply::refuse(code),
        };
        let request_id = RequestId::fresh();
        let answer = reply::raw(&reply, &request_id, &runtime.config.responses, info.endpoint == Endpoint::Https);
        self.log(ConnectionRecord {
            time: SystemTime::now(),
            client: info.peer.ip().to_canonical(),
            listener: info.endpoint.as_str(),
            reason: refusal.code.as_str(),
            status: Some(refusal.code.status().as_u16()),
            request_id: Some(request_id),
            detail: Some(refusal.reason),
            bytes_in: u64::try_from(received).unwrap_or(u64::MAX),
        });
        Bytes::from(answer)
    }

    fn rejected(&self, info: &ConnectionInfo) -> bool {
        // Almost always its host is the reason, and what it was is not told.
        if self.shared.runtime().config.hosts.on_untrusted == OnUntrusted::Drop {
            return false;
        }
        let code = Code::RequestMalformed;
        self.shared.metrics.refusals.with_label_values(&[code.as_str()]).inc();
        self.log(ConnectionRecord {
            time: SystemTime::now(),
            client: info.peer.ip().to_canonical(),
            listener: info.endpoint.as_str(),
            reason: code.as_str(),
            status: None,
            request_id: None,
            detail: Some("the host, the target or the length of a request over HTTP/2 could be read in two ways"),
            bytes_in: 0,
        });
        true
    }

    fn closed(&self, info: &ConnectionInfo, end: &End) {
        self.shared.metrics.connections_open.with_label_values(&[info.endpoint.as_str()]).dec();
        if end.refused_streams > 0 {
            self.shared.metrics.streams_refused.inc_by(end.refused_streams);
        }
        if let Some(reason) = end.reason {
            let record = self.ended_by_us(info.peer, info.endpoint, reason);
            // A connection that was of use has its lines already, and its age or idleness is no news.
            if end.served == 0 || !matches!(reason, Closed::IdleTimeout | Closed::AgeLimit) {
                self.log(record);
            }
        }
    }
}
