//! How many connections there may be: in all, from one address and from one network; and how fast handshakes may begin.
//!
//! A connection takes its slot before anything is spent on it and gives it back when it is dropped, however it ends.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::edge::rate::Rates;

/// The caps in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapLimits {
    /// Connections that are open at the same time.
    pub total: usize,
    /// The same from one address. An IPv6 client has a whole /64, so that counts as its address.
    pub per_address: usize,
    /// The same from one network.
    pub per_network: usize,
    /// The length of the prefix that makes a network, for IPv4.
    pub network_v4: u8,
    /// The same for IPv6.
    pub network_v6: u8,
    /// TLS handshakes that may begin in a second.
    pub handshakes: u32,
    /// The same from one address.
    pub handshakes_per_address: u32,
}

/// The cap that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cap {
    /// Connections in all.
    Total,
    /// Connections from this address.
    Address,
    /// Connections from this network.
    Network,
    /// Handshakes in all.
    Handshakes,
    /// Handshakes from this address.
    AddressHandshakes,
    /// The process has too little memory or too few descriptors left to take another one.
    Overload,
}

impl Cap {
    /// Every cap.
    pub const ALL: [Self; 6] =
        [Self::Total, Self::Address, Self::Network, Self::Handshakes, Self::AddressHandshakes, Self::Overload];

    /// The name that metric labels show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
            Self::Network => "network",
            Self::Handshakes => "handshakes",
            Self::AddressHandshakes => "address_handshakes",
            Self::Overload => "overload",
        }
    }

    /// A sentence for the log.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Total => "too many connections in all",
            Self::Address => "too many connections from this address",
            Self::Network => "too many connections from this network",
            Self::Handshakes => "too many handshakes a second in all",
            Self::AddressHandshakes => "too many handshakes a second from this address",
            Self::Overload => "the gateway is overloaded",
        }
    }
}

/// The open connections. Its maps hold no more addresses and networks than there are connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    total: AtomicUsize,
    counts: Mutex<Counts>,
    rates: Rates,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
}

impl Connections {
    /// A slot for a connection from this address. A proxy of ours brings many clients: only the cap on all connections is
    /// for it.
    ///
    /// # Errors
    /// The cap that is met.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, limits: &CapLimits, is_proxy: bool) -> Result<Slot, Cap> {
        let mut slot = Slot { connections: Arc::clone(self), origin: None };
        // A slot that is not handed out gives back what was counted.
        if self.total.fetch_add(1, Ordering::AcqRel) >= limits.total {
            return Err(Cap::Total);
        }
        if is_proxy {
            return Ok(slot);
        }
        let (address, network) = (address(peer), network(peer, limits));
        let mut counts = self.counts.lock();
        let (from_address, from_network) =
            (count(&mut counts.addresses, address), count(&mut counts.networks, network));
        drop(counts);
        slot.origin = Some((address, network));
        if from_address > limits.per_address {
            Err(Cap::Address)
        } else if from_network > limits.per_network {
            Err(Cap::Network)
        } else {
            Ok(slot)
        }
    }

    /// Whether this address may begin a handshake now.
    ///
    /// # Errors
    /// The cap that is met.
    pub(crate) fn begin_handshake(&self, peer: IpAddr, limits: &CapLimits, is_proxy: bool) -> Result<(), Cap> {
        let now = self.rates.now();
        // One address that storms must not use up what all share.
        if !is_proxy && !self.rates.admit_address(address(peer), limits.handshakes_per_address, now) {
            Err(Cap::AddressHandshakes)
        } else if self.rates.admit(limits.handshakes, now) {
            Ok(())
        } else {
            Err(Cap::Handshakes)
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Arc<Connections>,
    /// The address and the network that it counts for.
    origin: Option<(IpAddr, IpAddr)>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((address, network)) = self.origin {
            let mut counts = self.connections.counts.lock();
            uncount(&mut counts.addresses, address);
            uncount(&mut counts.networks, network);
        }
        self.connections.total.fetch_sub(1, Ordering::AcqRel);
    }
}

fn count<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) -> usize {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count
}

fn uncount<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

/// What counts as one client. An address that comes over IPv6 in its mapped form is the same one.
fn address(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => prefix_v6(v6, 64),
    }
}

fn network(peer: IpAddr, limits: &CapLimits) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(limits.network_v4.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => prefix_v6(v6, limits.network_v6),
    }
}

fn prefix_v6(address: Ipv6Addr, length: u8) -> IpAddr {
    let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: CapLimits = CapLimits {
        total: 100,
        per_address: 2,
        per_network: 3,
        network_v4: 24,
        network_v6: 48,
        handshakes: 3,
        handshakes_per_address: 2,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn enter(connections: &Arc<Connections>, address: &str) -> Result<Slot, Cap> {
        connections.enter(ip(address), &LIMITS, false)
    }

    #[test]
    fn each_cap_holds_and_slots_come_back() {
        let connections = Arc::new(Connections::default());
        let first = enter(&connections, "10.0.0.1").expect("free");
        let _second = enter(&connections, "::ffff:10.0.0.1").expect("free");
        assert_eq!(enter(&connections, "10.0.0.1").err(), Some(Cap::Address));
        let _third = enter(&connections, "10.0.0.2").expect("free");
        assert_eq!(enter(&connections, "10.0.0.3").err(), Some(Cap::Network));
        let _elsewhere = enter(&connections, "10.0.1.3").expect("another network");
        drop(first);
        let _again = enter(&connections, "10.0.0.1").expect("free again");
        assert_eq!(connections.open(), 4);
        let few = CapLimits { total: 4, ..LIMITS };
        assert_eq!(connections.enter(ip("192.0.2.1"), &few, false).err(), Some(Cap::Total));
        assert_eq!(connections.enter(ip("192.0.2.1"), &few, true).err(), Some(Cap::Total), "for proxies too");
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_its_network_the_48() {
        let connections = Arc::new(Connections::default());
        let _slots = ["2001:db8::1", "2001:db8::ffff:1"].map(|one| enter(&connections, one).expect("free"));
        assert_eq!(enter(&connections, "2001:db8::2").err(), Some(Cap::Address));
        let _next = enter(&connections, "2001:db8:0:1::1").expect("another /64");
        assert_eq!(enter(&connections, "2001:db8:0:2::1").err(), Some(Cap::Network));
        enter(&connections, "2001:db8:1::1").expect("another /48");
    }

    #[test]
    fn a_proxy_brings_many_clients() {
        let connections = Arc::new(Connections::default());
        let slots: Vec<_> = (0..50).map(|_| connections.enter(ip("10.0.0.1"), &LIMITS, true)).collect();
        assert!(slots.iter().all(Result::is_ok));
        assert!((0..3).all(|_| connections.begin_handshake(ip("10.0.0.1"), &LIMITS, true).is_ok()));
        assert_eq!(connections.begin_handshake(ip("10.0.0.1"), &LIMITS, true), Err(Cap::Handshakes));
    }

    #[test]
    fn handshakes_have_a_rate() {
        let connections = Connections::default();
        for _ in 0..2 {
            connections.begin_handshake(ip("10.0.0.1"), &LIMITS, false).expect("within the rate");
        }
        assert_eq!(connections.begin_handshake(ip("10.0.0.1"), &LIMITS, false), Err(Cap::AddressHandshakes));
        connections.begin_handshake(ip("10.0.0.2"), &LIMITS, false).expect("the other one's did not count");
    }

    proptest! {
        #[test]
        fn nothing_is_left_when_all_have_gone(addresses in proptest::collection::vec(0_u8..4, 0..40)) {
            let connections = Arc::new(Connections::default());
            let slots: Vec<_> =
                addresses.iter().map(|last| enter(&connections, &format!("10.0.{last}.1")).ok()).collect();
            let held = slots.iter().flatten().count();
            prop_assert_eq!(connections.open(), held);
            prop_assert!(held <= 8);
            drop(slots);
            prop_assert_eq!(connections.open(), 0);
            let counts = connections.counts.lock();
            prop_assert!(counts.addresses.is_empty() && counts.networks.is_empty());
        }
    }
}
