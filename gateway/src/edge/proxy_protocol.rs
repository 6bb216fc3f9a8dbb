//! The PROXY protocol, versions 1 and 2: a load balancer in front says whose connection it passes on, in a header before
//! anything else, TLS included (HAProxy's `doc/proxy-protocol.txt`, of which sections are named here).
//!
//! [`header::parse`] is pure and asks for exactly as many octets as the header still has for certain, so that what follows it is
//! never read: it belongs to TLS.

mod header;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use header::{Announced, Found, LONGEST_LINE, parse};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::edge::Closed;

/// Who has to send a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRule {
    /// The load balancers. Nobody else may connect.
    pub sources: Vec<IpNet>,
}

impl ProxyRule {
    /// Whether headers of this address are believed.
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.sources.iter().any(|network| network.contains(&address))
    }
}

/// The connections whose header is awaited: they count with nobody's address yet.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Arc<AtomicUsize>);

/// One of them.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Awaited {
    /// Reads the header of a connection from `peer`, and says whose the connection is.
    ///
    /// # Errors
    /// Why the connection has to be closed; without a reason where it ended before it began, as health checks of ports do.
    pub(crate) async fn read(
        &self,
        connection: &mut (impl AsyncRead + Unpin),
        peer: SocketAddr,
        rule: &ProxyRule,
        (longest, most): (Duration, usize),
    ) -> Result<SocketAddr, Option<Closed>> {
        if !rule.trusts(peer.ip()) {
            return Err(Some(Closed::ProxyHeaderInvalid));
        }
        let waiting = Waiting(Arc::clone(&self.0));
        if waiting.0.fetch_add(1, Ordering::AcqRel) >= most {
            return Err(Some(Closed::ConnectionsExceeded));
        }
        let announced = timeout(longest, read(connection)).await.map_err(|_| Some(Closed::HeadTimeout))??;
        Ok(match announced {
            Announced::Client(address) => address,
            Announced::Local => peer,
        })
    }
}

async fn read(connection: &mut (impl AsyncRead + Unpin)) -> Result<Announced, Option<Closed>> {
    let mut held = Vec::with_capacity(LONGEST_LINE);
    loop {
        match parse(&held) {
            Found::Whole(announced) => return Ok(announced),
            Found::Invalid => return Err(Some(Closed::ProxyHeaderInvalid)),
            Found::Missing(octets) => {
                let begin = held.len();
                held.resize(begin + octets, 0);
                let rest = held.get_mut(begin..).unwrap_or_default();
                match connection.read(rest).await {
                    Ok(read @ 1..) => held.truncate(begin + read),
                    _ => return Err((begin > 0).then_some(Closed::ProxyHeaderInvalid)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
