//! Upstreams: several addresses that answer for one name, and the choice among them.
//!
//! Round robin over the healthy addresses. An address is healthy until checks say otherwise, so that a gateway that has
//! just started serves at once. When fewer than the panic threshold are healthy, the checks are not believed: more likely
//! they, or something that all addresses share, are at fault, and a client is better served by the API's own 503 than
//! by ours.
//!
//! The state of an address ([`Endpoint`]) belongs to [`Registry`] and survives a reload as long as the address is there.
//! Pools of idle connections are Pingora's and keyed by address, so they survive as well.

pub mod health;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use prometheus::IntGauge;

use crate::{observe::metrics::Metrics, upstream::health::HealthRule};

/// An upstream as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRule {
    /// What routes call it.
    pub name: Arc<str>,
    /// Its addresses; at least one.
    pub addresses: Vec<SocketAddr>,
    /// The longest wait for a TCP connection.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Percent of the addresses that must be healthy for the checks to be believed.
    pub panic_threshold: u8,
    /// How health is found out.
    pub health: HealthRule,
}

/// One address and what is known of it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    label: String,
    healthy: AtomicBool,
    gauge: IntGauge,
}

impl Endpoint {
    fn new(address: SocketAddr, gauge: IntGauge) -> Self {
        gauge.set(1);
        Self { address, label: address.to_string(), healthy: AtomicBool::new(true), gauge }
    }

    /// The address as a metric's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether checks find it well.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
        self.gauge.set(i64::from(healthy));
    }
}

/// An upstream at work.
#[derive(Debug)]
pub struct Upstream {
    /// How it is to be used.
    pub rule: UpstreamRule,
    endpoints: Vec<(Arc<Endpoint>, HttpPeer)>,
    /// Counts choices; only its remainder matters, so it may wrap.
    next: AtomicUsize,
}

impl Upstream {
    fn new(rule: UpstreamRule, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| {
            let peer = peer(&rule, endpoint.address);
            (endpoint, peer)
        });
        Self { endpoints: endpoints.collect(), rule, next: AtomicUsize::new(0) }
    }

    /// The addresses and their state.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter().map(|(endpoint, _)| endpoint)
    }

    /// The next address to send to, with the peer that Pingora connects to; `None` when nobody is healthy and the panic
    /// threshold is zero.
    pub fn choose(&self) -> Option<(&Arc<Endpoint>, &HttpPeer)> {
        let total = self.endpoints.len();
        let healthy = self.endpoints().filter(|endpoint| endpoint.is_healthy()).count();
        let panic = healthy * 100 < usize::from(self.rule.panic_threshold) * total;
        let eligible = if panic { total } else { healthy };
        let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(eligible)?;
        self.endpoints
            .iter()
            .filter(|(endpoint, _)| panic || endpoint.is_healthy())
            .nth(turn)
            // Health may have changed since it was counted: then whoever is left.
            .or_else(|| self.endpoints.iter().find(|(endpoint, _)| panic || endpoint.is_healthy()))
            .map(|(endpoint, peer)| (endpoint, peer))
    }

    /// One healthy address that nothing listens on.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let rule = UpstreamRule {
            name: "test".into(),
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            panic_threshold: 50,
            health: HealthRule::for_tests(),
        };
        let gauge = IntGauge::new("test", "test").expect("gauge");
        let endpoints = rule.addresses.iter().map(|address| Arc::new(Endpoint::new(*address, gauge.clone()))).collect();
        Self::new(rule, endpoints)
    }
}

fn peer(rule: &UpstreamRule, address: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(rule.connect_timeout);
    peer.options.total_connection_timeout = Some(rule.connect_timeout);
    peer.options.idle_timeout = Some(rule.idle_timeout);
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer
}

/// A peer that must have answered within this time: no step of the exchange may take longer.
pub fn within(peer: &HttpPeer, left: Duration) -> Box<HttpPeer> {
    let mut peer = Box::new(peer.clone());
    let connect = peer.options.connection_timeout.map_or(left, |longest| longest.min(left));
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    peer.options.read_timeout = Some(left);
    peer.options.write_timeout = Some(left);
    peer
}

/// The state of every address, across reloads.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: Mutex<HashMap<EndpointKey, Arc<Endpoint>>>,
}

/// An upstream's name and one of its addresses.
type EndpointKey = (Arc<str>, SocketAddr);

impl Registry {
    /// Upstreams by these rules; the state of addresses that were there before is kept, that of others is dropped.
    pub fn build(&self, rules: Vec<UpstreamRule>, metrics: &Metrics) -> Vec<Arc<Upstream>> {
        let mut known = self.endpoints.lock();
        let mut kept = HashMap::new();
        let upstreams = rules
            .into_iter()
            .map(|rule| {
                let endpoints = rule.addresses.iter().map(|address| {
                    let key = (Arc::clone(&rule.name), *address);
                    let fresh = || Arc::new(Endpoint::new(*address, metrics.upstream_gauge(&rule.name, *address)));
                    let endpoint = known.get(&key).cloned().unwrap_or_else(fresh);
                    kept.insert(key, Arc::clone(&endpoint));
                    endpoint
                });
                let endpoints = endpoints.collect();
                Arc::new(Upstream::new(rule, endpoints))
            })
            .collect();
        for (upstream, address) in known.keys().filter(|key| !kept.contains_key(*key)) {
            metrics.forget_upstream(upstream, *address);
        }
        *known = kept;
        upstreams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(count: u16, panic_threshold: u8) -> UpstreamRule {
        let addresses = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        UpstreamRule { addresses, panic_threshold, ..Upstream::for_tests().rule }
    }

    fn build(registry: &Registry, rule: UpstreamRule) -> Arc<Upstream> {
        registry.build(vec![rule], &Metrics::new().expect("metrics")).remove(0)
    }

    fn choices(upstream: &Upstream, count: usize) -> Vec<u16> {
        (0..count).filter_map(|_| upstream.choose()).map(|(endpoint, _)| endpoint.address.port()).collect()
    }

    fn set(upstream: &Upstream, port: u16, healthy: bool) {
        upstream.endpoints().filter(|endpoint| endpoint.address.port() == port).for_each(|e| e.set_healthy(healthy));
    }

    #[test]
    fn turns_are_taken_by_the_healthy() {
        let upstream = build(&Registry::default(), rule(3, 50));
        assert_eq!(choices(&upstream, 6), [1, 2, 3, 1, 2, 3]);
        set(&upstream, 2, false);
        let mut seen = choices(&upstream, 4);
        seen.sort_unstable();
        assert_eq!(seen, [1, 1, 3, 3]);
    }

    #[test]
    fn below_the_panic_threshold_everyone_is_asked() {
        let upstream = build(&Registry::default(), rule(2, 50));
        set(&upstream, 1, false);
        assert_eq!(choices(&upstream, 2), [2, 2], "half is not fewer than half");
        set(&upstream, 2, false);
        let mut seen = choices(&upstream, 2);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    }

    #[test]
    fn a_threshold_of_zero_believes_the_checks_to_the_end() {
        let upstream = build(&Registry::default(), rule(1, 0));
        set(&upstream, 1, false);
        assert!(upstream.choose().is_none());
    }

    #[test]
    fn what_is_known_of_an_address_survives_a_reload_and_no_longer() {
        let registry = Registry::default();
        let before = build(&registry, rule(2, 0));
        set(&before, 1, false);
        let after = build(&registry, rule(3, 0));
        assert_eq!(after.endpoints().map(|endpoint| endpoint.is_healthy()).collect::<Vec<_>>(), [false, true, true]);
        let without = UpstreamRule { addresses: vec![SocketAddr::from(([127, 0, 0, 1], 2))], ..rule(1, 0) };
        build(&registry, without);
        let again = build(&registry, rule(1, 0));
        assert!(again.endpoints().all(|endpoint| endpoint.is_healthy()));
    }
}
