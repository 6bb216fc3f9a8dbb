//! The PROXY protocol, versions 1 and 2: a load balancer in front says whose connection it passes on, in a header before
//! anything else, TLS included (HAProxy's `doc/proxy-protocol.txt`, of which sections are named here).
//!
//! [`parse`] is pure and asks for exactly as many octets as the header still has for certain, so that what follows it is
//! never read: it belongs to TLS.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::edge::Closed;

/// The longest header of version 1, its line end included (section 2.1).
const LONGEST_LINE: usize = 107;

/// The shortest header of all, `PROXY UNKNOWN` and the line end: less than this is never whole.
const SHORTEST: usize = 15;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// The longest header of version 2 that is taken: addresses, and some KiB of what a balancer knows of its client's TLS.
const LONGEST: usize = 4096;

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

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// The connection comes from this address.
    Client(SocketAddr),
    /// Nobody else's: the balancer's own health check, or a client whose address it does not know.
    Local,
}

/// What octets come to that a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// They are a whole header.
    Whole(Announced),
    /// They may become one; at least so many octets of it are missing.
    Missing(usize),
    /// They are none.
    Invalid,
}

/// Reads the header that these octets are, or begin.
pub fn parse(octets: &[u8]) -> Found {
    let is_line = |octets: &[u8]| octets.iter().zip(b"PROXY ").all(|(octet, expected)| octet == expected);
    let is_binary = |octets: &[u8]| octets.iter().zip(SIGNATURE).all(|(octet, expected)| octet == expected);
    if is_line(octets) && !octets.is_empty() {
        parse_line(octets)
    } else if is_binary(octets) {
        parse_binary(octets)
    } else {
        Found::Invalid
    }
}

/// Version 1 (section 2.1).
fn parse_line(octets: &[u8]) -> Found {
    if octets.len() < SHORTEST {
        return Found::Missing(SHORTEST - octets.len());
    }
    let Some(line) = octets.strip_suffix(b"\r\n") else {
        let may_go_on = octets.len() < LONGEST_LINE && !octets.contains(&b'\n');
        return if may_go_on { Found::Missing(1) } else { Found::Invalid };
    };
    let announced = std::str::from_utf8(line).ok().and_then(announced_by_line);
    announced.filter(|_| !line.contains(&b'\n')).map_or(Found::Invalid, Found::Whole)
}

fn announced_by_line(line: &str) -> Option<Announced> {
    let rest = line.strip_prefix("PROXY ")?;
    // What else stands there is to be ignored.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Announced::Local);
    }
    let mut words = rest.split(' ');
    let family = words.next()?;
    let mut address = || {
        let text = words.next()?;
        match family {
            "TCP4" => text.parse().ok().map(IpAddr::V4),
            "TCP6" => text.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, _destination) = (address()?, address()?);
    let (port, _destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| Announced::Client(SocketAddr::new(source, port)))
}

/// Decimal, without signs and leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

/// Version 2 (section 2.2).
fn parse_binary(octets: &[u8]) -> Found {
    let Some((head, rest)) = octets.split_at_checked(FIXED) else {
        let missing = if octets.len() < SHORTEST { SHORTEST } else { FIXED };
        return Found::Missing(missing - octets.len());
    };
    let &[.., version_and_command, family, high, low] = head else { return Found::Invalid };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 || FIXED + length > LONGEST {
        return Found::Invalid;
    }
    if rest.len() < length {
        return Found::Missing(length - rest.len());
    }
    if rest.len() > length {
        return Found::Invalid;
    }
    let announced = match version_and_command & 0x0F {
        // LOCAL: whatever follows is ignored.
        0 => Some(Announced::Local),
        1 => announced_by_block(family, rest),
        _ => None,
    };
    announced.map_or(Found::Invalid, Found::Whole)
}

fn announced_by_block(family: u8, block: &[u8]) -> Option<Announced> {
    let (announced, extensions) = match family {
        // Unspecified, and Unix sockets: there is no address of a client.
        0x00 => return Some(Announced::Local),
        0x31 => (Announced::Local, block.split_at_checked(216)?.1),
        0x11 => {
            let (addresses, extensions) = block.split_first_chunk::<12>()?;
            let &[a, b, c, d, _, _, _, _, high, low, _, _] = addresses;
            let port = u16::from_be_bytes([high, low]);
            (Announced::Client(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)), extensions)
        }
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (_destination, rest) = rest.split_first_chunk::<16>()?;
            let (&[high, low, _, _], extensions) = rest.split_first_chunk::<4>()?;
            let port = u16::from_be_bytes([high, low]);
            (Announced::Client(SocketAddr::new(Ipv6Addr::from(*source).into(), port)), extensions)
        }
        // Datagrams do not come over a stream.
        _ => return None,
    };
    extensions_are_whole(extensions).then_some(announced)
}

/// Type, length, value, and again (section 2.2.7): nothing of them is used.
fn extensions_are_whole(mut octets: &[u8]) -> bool {
    while !octets.is_empty() {
        let Some(([_, high, low], rest)) = octets.split_first_chunk::<3>() else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((_, rest)) = rest.split_at_checked(length) else { return false };
        octets = rest;
    }
    true
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
