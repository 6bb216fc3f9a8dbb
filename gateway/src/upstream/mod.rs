//! Upstreams: several addresses that answer for one name, and the choice among them.
//!
//! ```text
//! registry.rs   the state of every address, which outlives reloads and answers of DNS
//! endpoint.rs   one address: checks' verdict, ejection, requests in flight
//! choice.rs     power of two choices, slow start                          pure
//! outlier.rs    passive ejection by failures and by slowness              pure
//! window.rs     failures among the requests of an interval                pure
//! mean.rs       how long answers take                                     pure
//! budget.rs     how many retries there may be                             pure
//! retry.rs      whether a request that failed may be sent again
//! health.rs     active checks
//! dns.rs        names, resolved again when their time is over
//! tls.rs        TLS to the addresses
//! ```
//!
//! An address is healthy until checks say otherwise, so that a gateway that has just started serves at once. When fewer
//! than the panic threshold are healthy, the checks are not believed: more likely they, or something that all addresses
//! share, are at fault, and a client is better served by the API's own 503 than by ours. Ejection has a cap of its own,
//! and is believed in a panic too: it rests on answers to real requests. Where everybody who is healthy is set aside,
//! they are asked all the same.

pub mod budget;
pub mod choice;
pub mod dns;
pub mod endpoint;
pub mod health;
pub mod mean;
pub mod outlier;
pub mod registry;
pub mod retry;
pub mod tls;
pub mod window;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use tokio::sync::watch;

pub use self::{
    endpoint::{Attempt, Endpoint},
    registry::Registry,
};
use crate::{
    observe::metrics::Metrics,
    upstream::{
        budget::BudgetRule,
        dns::Name,
        endpoint::now,
        health::HealthRule,
        outlier::{EjectionRule, Reason, median, most_ejected},
        registry::Lasting,
        tls::UpstreamTls,
    },
};

/// An upstream as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRule {
    /// What routes call it.
    pub name: Arc<str>,
    /// Its fixed addresses.
    pub addresses: Vec<SocketAddr>,
    /// Names whose addresses are its own as well; there is at least one of either.
    pub names: Vec<Name>,
    /// The longest wait for a TCP connection, and for a TLS handshake.
    pub connect_timeout: Duration,
    /// The longest wait for an answer where the request could be sent again to another address.
    pub try_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How old a connection may become.
    pub max_connection_age: Duration,
    /// How often one request may be sent again.
    pub retries: u8,
    /// How often all of them may.
    pub budget: BudgetRule,
    /// When an address is set aside for its answers.
    pub ejection: EjectionRule,
    /// How long an address that came back has less than its share.
    pub slow_start: Duration,
    /// Percent of the addresses that must be healthy for the checks to be believed.
    pub panic_threshold: u8,
    /// How health is found out.
    pub health: HealthRule,
    /// TLS to the addresses.
    pub tls: Option<UpstreamTls>,
}

/// One address with the peer that Pingora connects to.
#[derive(Debug)]
pub struct Target {
    /// What is known of it.
    pub endpoint: Arc<Endpoint>,
    peer: HttpPeer,
}

/// An upstream at work.
#[derive(Debug)]
pub struct Upstream {
    /// How it is to be used.
    pub rule: UpstreamRule,
    targets: ArcSwap<Vec<Arc<Target>>>,
    /// What outlives this configuration.
    lasting: Arc<Lasting>,
    /// Tells the checks that addresses came or went.
    moved: watch::Sender<()>,
    metrics: Metrics,
}

impl Upstream {
    fn new(rule: UpstreamRule, lasting: Arc<Lasting>, metrics: Metrics) -> Self {
        let targets = ArcSwap::from_pointee(Vec::new());
        Self { rule, targets, lasting, moved: watch::Sender::new(()), metrics }
    }

    /// Replaces the addresses.
    fn place(&self, endpoints: Vec<Arc<Endpoint>>) {
        let now = now();
        let mut placed = self.lasting.placed.lock();
        placed.clone_from(&endpoints);
        let mut ejected: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.is_ejected(now)).collect();
        ejected.sort_by_key(|endpoint| endpoint.ejected_until());
        // The cap is a part of those who are there: whoever would come back first does so now.
        let surplus = ejected.len().saturating_sub(most_ejected(&self.rule.ejection, endpoints.len()));
        ejected.iter().take(surplus).for_each(|endpoint| endpoint.readmit(now));
        let targets = endpoints.into_iter().map(|endpoint| {
            let peer = peer(&self.rule, endpoint.address);
            Arc::new(Target { endpoint, peer })
        });
        self.targets.store(Arc::new(targets.collect()));
        self.moved.send_replace(());
    }

    /// The addresses and their state.
    pub fn targets(&self) -> Arc<Vec<Arc<Target>>> {
        self.targets.load_full()
    }

    /// A receiver that learns when addresses come or go.
    pub fn moves(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Counts a request, of which the retry budget is a part.
    pub fn count(&self) {
        self.lasting.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whom to ask, but for those that were asked before; `None` where nobody is left: all were asked, there is no
    /// address yet, or nobody is healthy and the panic threshold is zero.
    pub fn choose(&self, asked: &[SocketAddr]) -> Option<Arc<Target>> {
        let now = now();
        let targets = self.targets.load();
        let panic = self.is_panic(&targets);
        let may = |target: &&Arc<Target>| {
            (panic || target.endpoint.is_healthy()) && !asked.contains(&target.endpoint.address)
        };
        let well = |target: &&Arc<Target>| may(target) && !target.endpoint.is_ejected(now);
        self.draw(now, || targets.iter().filter(well)).or_else(|| self.draw(now, || targets.iter().filter(may)))
    }

    /// Whether somebody could be asked beside this address and those that were asked before.
    pub fn has_other(&self, asked: &[SocketAddr], chosen: SocketAddr) -> bool {
        let targets = self.targets.load();
        let panic = self.is_panic(&targets);
        targets
            .iter()
            .map(|target| &target.endpoint)
            .any(|other| (panic || other.is_healthy()) && other.address != chosen && !asked.contains(&other.address))
    }

    /// Whether so few are healthy that the checks are not believed.
    fn is_panic(&self, targets: &[Arc<Target>]) -> bool {
        let healthy = targets.iter().filter(|target| target.endpoint.is_healthy()).count();
        healthy * 100 < usize::from(self.rule.panic_threshold) * targets.len()
    }

    fn draw<'a, T>(&self, now: u64, among: impl Fn() -> T) -> Option<Arc<Target>>
    where
        T: Iterator<Item = &'a Arc<Target>>,
    {
        let seed = self.lasting.draws.fetch_add(1, Ordering::Relaxed);
        let at = choice::pick(among().count(), seed, |at| match among().nth(at) {
            Some(target) => target.endpoint.candidate(self.rule.slow_start, now),
            // Health has changed since they were counted.
            None => choice::Candidate { load: usize::MAX, share: choice::FULL_SHARE },
        })?;
        among().nth(at).or_else(|| among().next()).cloned()
    }

    /// Learns that an address failed a request.
    pub fn note_failure(&self, endpoint: &Endpoint) {
        let now = now();
        if !endpoint.is_ejected(now)
            && let Some(reason) = endpoint.fail(&self.rule.ejection, now)
        {
            self.eject(endpoint, reason, now);
        }
    }

    /// Learns that an address answered a request to the end.
    pub fn note_success(&self, endpoint: &Endpoint) {
        let now = now();
        if !endpoint.is_ejected(now) {
            endpoint.succeed(&self.rule.ejection, now);
        }
    }

    /// Learns that an address began a stream of events, which may have no end.
    pub fn note_begun_stream(&self, endpoint: &Endpoint) {
        endpoint.begin_stream();
    }

    /// Learns that an address began to answer a request after this time.
    pub fn note_answer(&self, endpoint: &Endpoint, took: Duration) {
        let rule = &self.rule.ejection;
        let now = now();
        if endpoint.is_ejected(now) {
            return;
        }
        // What the others need is worked out only where it can matter.
        let usual = (took >= rule.slow_floor).then(|| self.usual_time(endpoint, now)).flatten();
        if let Some(reason) = endpoint.answer(rule, took, usual) {
            self.eject(endpoint, reason, now);
        }
    }

    fn usual_time(&self, except: &Endpoint, now: u64) -> Option<Duration> {
        let targets = self.targets.load();
        let others = targets
            .iter()
            .map(|target| &target.endpoint)
            .filter(|endpoint| endpoint.address != except.address && !endpoint.is_ejected(now));
        median(others.filter_map(|endpoint| endpoint.mean()))
    }

    /// Sets an address aside, if the cap leaves room for it.
    fn eject(&self, endpoint: &Endpoint, reason: Reason, now: u64) {
        // One at a time, or two could take the last place; and among those who are there now, because a request may still
        // work with the addresses of an older configuration.
        let placed = self.lasting.placed.lock();
        let ejected = placed.iter().filter(|other| other.is_ejected(now)).count();
        let is_here = placed.iter().any(|other| std::ptr::eq(&raw const **other, endpoint));
        let is_full = ejected >= most_ejected(&self.rule.ejection, placed.len());
        if !is_here || is_full || endpoint.is_ejected(now) {
            return;
        }
        endpoint.eject(&self.rule.ejection, now);
        let (upstream, address, reason) = (&*self.rule.name, endpoint.address, reason.as_str());
        self.metrics.upstream_ejections.with_label_values(&[upstream, endpoint.label(), reason]).inc();
        let seconds = endpoint.ejected_until().saturating_sub(now) / 1000;
        tracing::warn!(upstream, %address, reason, seconds, "the address is set aside");
    }

    /// Where it counts.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether a request that failed now could be sent again, as far as the budget goes.
    pub fn has_retry(&self) -> bool {
        !self.lasting.budget_is_dry.load(Ordering::Relaxed) || {
            let budget = self.lasting.budget.lock();
            self.keep_dryness(budget.has_one(self.rule.budget, now(), self.lasting.requests.load(Ordering::Relaxed)))
        }
    }

    /// Takes a retry out of the budget, if there is one.
    pub fn take_retry(&self) -> bool {
        let requests = self.lasting.requests.load(Ordering::Relaxed);
        let now = now();
        let mut budget = self.lasting.budget.lock();
        let taken = budget.take(self.rule.budget, now, requests);
        self.keep_dryness(budget.has_one(self.rule.budget, now, requests));
        drop(budget);
        let counter = if taken { &self.metrics.upstream_retries } else { &self.metrics.upstream_retries_refused };
        counter.with_label_values(&[&*self.rule.name]).inc();
        taken
    }

    fn keep_dryness(&self, has_one: bool) -> bool {
        self.lasting.budget_is_dry.store(!has_one, Ordering::Relaxed);
        has_one
    }

    /// An upstream of this rule that nobody reloads.
    #[cfg(test)]
    pub(crate) fn of(rule: UpstreamRule) -> Arc<Self> {
        Registry::default().build(vec![rule], &Metrics::new().expect("metrics")).remove(0)
    }

    /// One healthy address that nothing listens on.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::of(UpstreamRule::for_tests())
    }
}

impl UpstreamRule {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let second = Duration::from_secs(1);
        Self {
            name: "test".into(),
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
            names: Vec::new(),
            connect_timeout: second,
            try_timeout: second,
            idle_timeout: second,
            max_connection_age: second,
            retries: 2,
            budget: BudgetRule { percent: 20, floor: 10 },
            ejection: EjectionRule::for_tests(),
            slow_start: Duration::ZERO,
            panic_threshold: 50,
            health: HealthRule::for_tests(),
            tls: None,
        }
    }
}

fn peer(rule: &UpstreamRule, address: SocketAddr) -> HttpPeer {
    let mut peer = match &rule.tls {
        Some(tls) => tls.peer(address),
        None => HttpPeer::new(address, false, String::new()),
    };
    peer.options.connection_timeout = Some(rule.connect_timeout);
    peer.options.total_connection_timeout = Some(rule.connect_timeout);
    peer.options.idle_timeout = Some(rule.idle_timeout);
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer
}

impl Target {
    /// The peer, with so much time for a connection and for the request, and so much for each octet of the answer.
    pub fn within(&self, left: Duration, silence: Duration) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        let connect = peer.options.connection_timeout.map_or(left, |longest| longest.min(left));
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        peer.options.read_timeout = Some(silence);
        peer.options.write_timeout = Some(left);
        peer
    }
}

#[cfg(test)]
mod tests;
