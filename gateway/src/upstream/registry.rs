//! The state of every address. It outlives reloads and answers of DNS as long as the address is there; pools of idle
//! connections are Pingora's, keyed by address and TLS, and do so as well.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
};

use parking_lot::Mutex;

use crate::{
    observe::metrics::Metrics,
    upstream::{Upstream, UpstreamRule, budget::Budget, dns::Name, endpoint, endpoint::Endpoint},
};

/// What outlives the configuration of an upstream.
#[derive(Debug)]
pub(super) struct Lasting {
    /// Requests so far.
    pub(super) requests: AtomicU64,
    /// Draws so far, each of which seeds the next.
    pub(super) draws: AtomicU64,
    /// Retries that are left.
    pub(super) budget: Mutex<Budget>,
    /// Whether there was none when last looked at: otherwise nobody needs to lock it in order to know.
    pub(super) budget_is_dry: AtomicBool,
    /// The addresses that are there now, under whichever configuration; held while one is set aside.
    pub(super) placed: Mutex<Vec<Arc<Endpoint>>>,
    /// What names stood for when they were last resolved.
    resolved: Mutex<HashMap<Name, Vec<SocketAddr>>>,
}

impl Lasting {
    fn new(rule: &UpstreamRule) -> Self {
        Self {
            requests: AtomicU64::new(0),
            draws: AtomicU64::new(u64::from(std::process::id()) << 32),
            budget: Mutex::new(Budget::new(rule.budget, endpoint::now())),
            budget_is_dry: AtomicBool::new(true),
            placed: Mutex::default(),
            resolved: Mutex::default(),
        }
    }
}

/// The state of every address, across reloads.
#[derive(Debug, Default)]
pub struct Registry {
    upstreams: Mutex<HashMap<Arc<str>, Known>>,
}

#[derive(Debug)]
struct Known {
    lasting: Arc<Lasting>,
    /// Who uses the addresses now: a task of an older configuration must not change them.
    current: Weak<Upstream>,
    endpoints: HashMap<SocketAddr, Arc<Endpoint>>,
}

impl Registry {
    /// Upstreams by these rules; the state of addresses that were there before is kept, that of others is dropped.
    pub fn build(&self, rules: Vec<UpstreamRule>, metrics: &Metrics) -> Vec<Arc<Upstream>> {
        let mut known = self.upstreams.lock();
        let names: BTreeSet<_> = rules.iter().map(|rule| Arc::clone(&rule.name)).collect();
        known.retain(|name, gone| {
            let stays = names.contains(name);
            if !stays {
                gone.endpoints.values().for_each(|endpoint| forget(name, endpoint, metrics));
                metrics.forget_upstream(name);
            }
            stays
        });
        let build = |rule: UpstreamRule| {
            let fresh =
                || Known { lasting: Arc::new(Lasting::new(&rule)), current: Weak::new(), endpoints: HashMap::new() };
            let known = known.entry(Arc::clone(&rule.name)).or_insert_with(fresh);
            let upstream = Upstream::new(rule, Arc::clone(&known.lasting), metrics.clone());
            // A name that is no longer configured stands for nothing.
            known.lasting.resolved.lock().retain(|name, _| upstream.rule.names.contains(name));
            place(&upstream, known);
            let upstream = Arc::new(upstream);
            known.current = Arc::downgrade(&upstream);
            upstream
        };
        rules.into_iter().map(build).collect()
    }

    /// Learns what a name of an upstream stands for now.
    pub fn resolve(&self, upstream: &Arc<Upstream>, name: &Name, addresses: Vec<SocketAddr>) {
        let mut known = self.upstreams.lock();
        let Some(known) = known.get_mut(&upstream.rule.name) else { return };
        if !std::ptr::eq(known.current.as_ptr(), Arc::as_ptr(upstream)) {
            return;
        }
        let before = known.lasting.resolved.lock().insert(name.clone(), addresses.clone());
        if before.is_none_or(|before| before != addresses) {
            let upstream_name = &*upstream.rule.name;
            tracing::info!(upstream = upstream_name, %name, ?addresses, "the name stands for these addresses now");
            place(upstream, known);
        }
    }
}

/// Gives the upstream its addresses: the fixed ones, and those its names stand for.
fn place(upstream: &Upstream, known: &mut Known) {
    let (rule, metrics) = (&upstream.rule, &upstream.metrics);
    let mut addresses: BTreeSet<_> = rule.addresses.iter().copied().collect();
    addresses.extend(known.lasting.resolved.lock().values().flatten());
    known.endpoints.retain(|address, endpoint| {
        let stays = addresses.contains(address);
        if !stays {
            forget(&rule.name, endpoint, metrics);
        }
        stays
    });
    // The first addresses share the load at once; one that joins others begins slowly.
    let back_since = if known.endpoints.is_empty() { 0 } else { endpoint::now() };
    let endpoints = addresses.into_iter().map(|address| {
        let fresh = || Arc::new(Endpoint::new(address, metrics.endpoint(&rule.name, address), back_since));
        Arc::clone(known.endpoints.entry(address).or_insert_with(fresh))
    });
    let endpoints: Vec<_> = endpoints.collect();
    let count = i64::try_from(endpoints.len()).unwrap_or(i64::MAX);
    metrics.upstream_addresses.with_label_values(&[&*rule.name]).set(count);
    upstream.place(endpoints);
}

fn forget(upstream: &str, endpoint: &Endpoint, metrics: &Metrics) {
    endpoint.leave();
    metrics.forget_endpoint(upstream, endpoint.label());
}
