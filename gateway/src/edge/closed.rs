//! The reasons for which a connection ends without an answer.

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
    /// It had to begin with a PROXY protocol header and did not, or came from somebody else than those who send one.
    ProxyHeaderInvalid,
    /// A body did not come in time, after the answer had begun.
    BodyTimeout,
    /// The connection has lasted as long as one may.
    AgeLimit,
    /// Too many connections or handshakes, or no room for another one.
    ConnectionsExceeded,
    /// The client opened streams beyond the limit, again and again.
    StreamsExceeded,
    /// The client broke the rules of HTTP/2, or did what only costs work.
    H2Abuse,
    /// The request named a host that is not served, and the configuration says to drop those.
    HostDropped,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
}

impl Closed {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::HandshakeFailed,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::ProxyHeaderInvalid,
        Self::BodyTimeout,
        Self::AgeLimit,
        Self::ConnectionsExceeded,
        Self::StreamsExceeded,
        Self::H2Abuse,
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
            Self::ProxyHeaderInvalid => "proxy_header_invalid",
            Self::BodyTimeout => "body_timeout",
            Self::AgeLimit => "age_limit",
            Self::ConnectionsExceeded => "connections_exceeded",
            Self::StreamsExceeded => "streams_exceeded",
            Self::H2Abuse => "h2_abuse",
            Self::HostDropped => "host_dropped",
            Self::WriteTimeout => "write_timeout",
        }
    }
}
