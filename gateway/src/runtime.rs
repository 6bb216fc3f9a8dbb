//! The immutable snapshot that a request works with, and what outlives it.
//!
//! A reload compiles a new [`Runtime`] and swaps it whole: a request keeps the one it began with, so that no request
//! ever sees half of two configurations. State that must survive the swap is [`Shared`].

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    config::Config,
    edge::{
        HeadLimits, Settings,
        tls::{Sessions, Tls},
    },
    observe::{
        access_log::AccessLog,
        metrics::{LISTENERS, Metrics},
    },
    overload::Overload,
    request::route::{Route, RouteRule, RouteTable},
    response::compressor::Compression,
    stop::Stopping,
    upstream::{Registry, Upstream},
};

/// A compiled configuration.
#[derive(Debug)]
pub struct Runtime {
    /// What it was compiled from.
    pub config: Config,
    /// The certificates and how TLS is spoken with them.
    pub tls: Tls,
    /// The edge's part.
    pub edge: Arc<Settings>,
    /// Routes, ready to be matched.
    pub routes: RouteTable,
    /// Every upstream.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Compression of answers.
    pub compression: Compression,
}

impl Runtime {
    fn compile(config: Config, tls: Tls, registry: &Registry, metrics: &Metrics) -> Self {
        let upstreams = registry.build(config.upstreams.clone(), metrics);
        let route = |rule: &RouteRule| {
            // The reader of the routes has checked that the upstream is there.
            let upstream = upstreams.iter().find(|upstream| upstream.rule.name == rule.upstream)?;
            Some(Arc::new(Route { rule: rule.clone(), upstream: Arc::clone(upstream) }))
        };
        let routes = RouteTable::new(config.routes.iter().filter_map(route).collect());
        let bounds = &config.connections;
        let edge = Arc::new(Settings {
            tls: tls.config(),
            proxy: config.listen.proxy.clone(),
            handshake_timeout: bounds.handshake_timeout,
            idle_timeout: bounds.idle_timeout,
            idle_grace: config.server.idle_grace,
            head_timeout: bounds.head_timeout,
            body_timeout: bounds.body_timeout,
            write_timeout: bounds.write_timeout,
            min_rate: bounds.min_rate,
            max_age: bounds.max_age,
            age_grace: config.server.drain_timeout,
            caps: bounds.caps,
            http2_streams: bounds.max_streams,
            floods: bounds.floods,
            head: HeadLimits { octets: bounds.max_head, fields: bounds.max_fields, target: bounds.max_target },
        });
        let compression = Compression::new(config.compression.clone(), &metrics.compression);
        Self { config, tls, edge, routes, upstreams, compression }
    }
}

/// What outlives a configuration.
#[derive(Debug)]
pub struct Shared {
    runtime: ArcSwap<Runtime>,
    /// Tells background tasks that the runtime was swapped.
    swapped: watch::Sender<()>,
    /// The state of every address.
    pub registry: Arc<Registry>,
    /// How far a stop has come.
    pub stopping: Stopping,
    /// What the process was started with: keys that need a restart keep these values.
    pub started: Config,
    /// What lets clients resume their TLS sessions.
    pub sessions: Sessions,
    /// Counters.
    pub metrics: Metrics,
    /// One line a request.
    pub access_log: AccessLog,
    /// Whether there is room for more.
    pub overload: Overload,
}

impl Shared {
    /// Starts with this configuration.
    pub fn new(config: Config, tls: Tls, sessions: Sessions, metrics: Metrics, access_log: AccessLog) -> Self {
        let registry = Arc::new(Registry::default());
        let started = config.clone();
        let runtime = Runtime::compile(config, tls, &registry, &metrics);
        let overload = Overload::new(&metrics);
        let shared = Self {
            runtime: ArcSwap::from_pointee(runtime),
            swapped: watch::Sender::new(()),
            registry,
            stopping: Stopping::default(),
            started,
            sessions,
            metrics,
            access_log,
            overload,
        };
        shared.note_success();
        shared.note_certificates(None);
        shared
    }

    /// The snapshot in force.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.runtime.load_full()
    }

    /// Puts another configuration in force, whole.
    pub fn swap(&self, config: Config, tls: Tls) {
        let runtime = Runtime::compile(config, tls, &self.registry, &self.metrics);
        let before = self.runtime.swap(Arc::new(runtime));
        self.swapped.send_replace(());
        self.note_certificates(Some(&before));
    }

    /// A receiver that learns of every swap.
    pub fn swaps(&self) -> watch::Receiver<()> {
        self.swapped.subscribe()
    }

    /// Connections of clients that are open, on every listener.
    pub fn open_connections(&self) -> i64 {
        LISTENERS.iter().map(|listener| self.metrics.connections_open.with_label_values(&[*listener]).get()).sum()
    }

    /// Exports that the configuration was loaded just now.
    pub fn note_success(&self) {
        self.metrics.reload_successful.set(1);
        self.metrics.reload_success_time.set(timestamp(SystemTime::now()));
    }

    /// Exports when each certificate in force and the last ticket key ends, and no longer those that are gone.
    fn note_certificates(&self, before: Option<&Runtime>) {
        let runtime = self.runtime();
        let ends = runtime.tls.ends();
        for name in before.into_iter().flat_map(|before| before.tls.ends().into_keys()) {
            if !ends.contains_key(name) {
                self.metrics.forget_certificate(name);
            }
        }
        self.metrics.ticket_key_end.set(runtime.tls.ticket_key_end().map_or(0, timestamp));
        for (name, end) in ends {
            self.metrics.certificate_end.with_label_values(&[name]).set(timestamp(end));
        }
    }
}

/// Seconds since the epoch.
fn timestamp(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
