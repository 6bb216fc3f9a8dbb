//! One address and what is known of it: the verdict of checks, of answers, and how busy it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus::IntGauge;

use crate::{
    observe::metrics::EndpointMetrics,
    upstream::{
        choice::{self, Candidate},
        outlier::{EjectionRule, Outlier, Reason, millis},
    },
};

/// When the process's clock began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds on the process's clock, which never goes back. It begins at one, so that zero means "never".
pub fn now() -> u64 {
    millis(BEGAN.elapsed()).saturating_add(1)
}

/// One address and what is known of it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    label: String,
    healthy: AtomicBool,
    in_flight: AtomicUsize,
    /// Until when it is set aside, on the process's clock.
    ejected_until: AtomicU64,
    /// Since when it has been healthy again, on the same clock; zero if it always was.
    back_since: AtomicU64,
    outlier: Outlier,
    /// Whether it belongs to no upstream any more, and is not exported.
    gone: AtomicBool,
    metrics: EndpointMetrics,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, metrics: EndpointMetrics, back_since: u64) -> Self {
        metrics.healthy.set(1);
        Self {
            address,
            label: address.to_string(),
            healthy: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            ejected_until: AtomicU64::new(0),
            back_since: AtomicU64::new(back_since),
            outlier: Outlier::default(),
            gone: AtomicBool::new(false),
            metrics,
        }
    }

    /// The address as a metric's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether checks find it well.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Whether its own answers have set it aside at this time.
    pub fn is_ejected(&self, now: u64) -> bool {
        now < self.ejected_until()
    }

    /// Whether it was dropped from its upstream: then nothing is counted for it any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn ejected_until(&self) -> u64 {
        self.ejected_until.load(Ordering::Relaxed)
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        let before = self.healthy.swap(healthy, Ordering::Relaxed);
        if healthy && !before {
            self.back_since.store(now(), Ordering::Relaxed);
        }
        self.metrics.healthy.set(i64::from(healthy));
    }

    /// Sets it aside by this rule.
    pub(super) fn eject(&self, rule: &EjectionRule, now: u64) {
        let until = self.outlier.eject(rule, now);
        self.ejected_until.store(until, Ordering::Relaxed);
        self.metrics.ejected.set(1);
    }

    /// Takes it back before its time.
    pub(super) fn readmit(&self, now: u64) {
        self.ejected_until.fetch_min(now, Ordering::Relaxed);
    }

    /// Exports that an ejection has ended; says whether it has just now.
    pub(crate) fn note_return(&self, now: u64) -> bool {
        let returned = self.metrics.ejected.get() != 0 && !self.is_ejected(now);
        if returned {
            self.metrics.ejected.set(0);
        }
        returned
    }

    /// What a draw needs to know of it.
    pub(super) fn candidate(&self, slow_start: Duration, now: u64) -> Candidate {
        let back = self.back_since.load(Ordering::Relaxed).max(self.ejected_until());
        let share = match back {
            0 => choice::FULL_SHARE,
            back => choice::share(now.saturating_sub(back), millis(slow_start)),
        };
        Candidate { load: self.in_flight.load(Ordering::Relaxed), share }
    }

    pub(super) fn fail(&self, rule: &EjectionRule, now: u64) -> Option<Reason> {
        self.outlier.fail(rule, now)
    }

    pub(super) fn succeed(&self, rule: &EjectionRule, now: u64) {
        self.outlier.succeed(rule, now);
    }

    pub(super) fn begin_stream(&self) {
        self.outlier.begin_stream();
    }

    pub(super) fn answer(&self, rule: &EjectionRule, took: Duration, usual: Option<Duration>) -> Option<Reason> {
        self.outlier.answer(rule, took, usual)
    }

    pub(super) fn mean(&self) -> Option<Duration> {
        self.outlier.mean()
    }
}

/// A request that is sent to an address, counted there for as long as it lasts.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub endpoint: Arc<Endpoint>,
    /// When it was chosen.
    pub began: Instant,
    /// Whether its connection is too old to be kept after this request.
    pub is_last_use: bool,
    /// Whether it was found a success or a failure; the first verdict stands.
    pub(crate) is_judged: bool,
    gauge: IntGauge,
}

impl Attempt {
    /// Begins now.
    pub fn begin(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        let gauge = endpoint.metrics.in_flight.clone();
        gauge.inc();
        Self { endpoint, began: Instant::now(), is_last_use: false, is_judged: false, gauge }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}
