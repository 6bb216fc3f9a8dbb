//! Every metric of the API: names and labels live in one place, so that dashboards can be checked against them.
//!
//! Labels have few values, all known at compile time: a route is its template, never a path.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use todo_shared::{process, version};

use crate::{
    auth::access_token::TokenError,
    store::{self, Connections},
};

/// Latency buckets in seconds: from a cached read to the request timeout. Two seconds are a bound because an alert asks for
/// them, and between bounds a quantile is only guessed.
const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The metrics of a running API.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where all of them are exported.
    pub registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    refusals: IntCounterVec,
    connections: IntGaugeVec,
    ready: IntGauge,
    schema_version: IntGauge,
    /// The password queue.
    pub passwords: PasswordMetrics,
    /// Access tokens.
    pub tokens: TokenMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A name is not valid or stands twice: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("todo_api_http_requests_total", "Answered requests."),
            &["method", "route", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("todo_api_http_request_duration_seconds", "Time to the answer's head.")
                .buckets(SECONDS.to_vec()),
            &["method", "route"],
        )?;
        let refusals =
            IntCounterVec::new(Opts::new("todo_api_refusals_total", "Problem documents, by why-code."), &["code"])?;
        let connections = IntGaugeVec::new(
            Opts::new("todo_api_database_connections", "Connections of the pool: busy, idle, and the limit."),
            &["state"],
        )?;
        let ready = IntGauge::new("todo_api_ready", "Whether readiness says yes.")?;
        let schema_version =
            IntGauge::new("todo_api_schema_version", "The newest migration that the database has, as last seen.")?;
        let schema_expected = IntGauge::new("todo_api_schema_expected", "The newest migration that this build needs.")?;
        schema_expected.set(store::NEWEST);
        let (passwords, tokens) = (PasswordMetrics::new()?, TokenMetrics::new()?);
        process::register(&registry)?;
        version::register(&registry, "todo_api_build_info")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(schema_version.clone()))?;
        registry.register(Box::new(schema_expected))?;
        registry.register(Box::new(passwords.waiting.clone()))?;
        registry.register(Box::new(passwords.shed.clone()))?;
        registry.register(Box::new(passwords.wait.clone()))?;
        registry.register(Box::new(tokens.verified.clone()))?;
        Ok(Self { registry, requests, seconds, refusals, connections, ready, schema_version, passwords, tokens })
    }

    /// Counts an answered request.
    pub fn answered(&self, method: &str, route: &str, status: &str, elapsed: Duration) {
        self.requests.with_label_values(&[method, route, status]).inc();
        self.seconds.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }

    /// Counts a problem document.
    pub fn refused(&self, code: &str) {
        self.refusals.with_label_values(&[code]).inc();
    }

    /// Takes over whether the process is ready.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Takes over which migration was last found applied.
    pub fn schema(&self, version: i64) {
        self.schema_version.set(version);
    }

    /// Takes over the pool's numbers.
    pub fn pool(&self, connections: Connections) {
        let Connections { busy, idle, limit } = connections;
        for (state, count) in [("busy", busy), ("idle", idle), ("limit", limit)] {
            self.connections.with_label_values(&[state]).set(count.into());
        }
    }
}

/// The password queue.
#[derive(Debug, Clone)]
pub struct PasswordMetrics {
    waiting: IntGauge,
    shed: IntCounter,
    wait: Histogram,
}

impl PasswordMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            waiting: IntGauge::new("todo_api_password_waiting", "Requests that wait to hash a password.")?,
            shed: IntCounter::new("todo_api_password_shed_total", "Requests refused because the wait was too long.")?,
            wait: Histogram::with_opts(
                HistogramOpts::new("todo_api_password_wait_seconds", "Time until hashing began.")
                    .buckets(SECONDS.to_vec()),
            )?,
        })
    }

    /// Counts the caller as waiting for as long as it holds the guard.
    pub fn waiting(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// Counts a request that was refused.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// Records how long a request waited.
    pub fn waited(&self, elapsed: Duration) {
        self.wait.observe(elapsed.as_secs_f64());
    }
}

/// Somebody waits.
#[derive(Debug)]
pub struct Waiting(IntGauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Access tokens.
#[derive(Debug, Clone)]
pub struct TokenMetrics {
    verified: IntCounterVec,
}

impl TokenMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        let options = Opts::new("todo_api_tokens_verified_total", "Access tokens looked at, by outcome.");
        Ok(Self { verified: IntCounterVec::new(options, &["outcome"])? })
    }

    /// Counts an outcome; `None` is a valid token.
    pub fn verified(&self, error: Option<TokenError>) {
        let outcome = match error {
            None => "valid",
            Some(TokenError::Malformed) => "malformed",
            Some(TokenError::UnknownKey) => "unknown_key",
            Some(TokenError::Refused) => "refused",
            Some(TokenError::Expired) => "expired",
            Some(TokenError::Early) => "early",
            Some(TokenError::NoKeys) => "no_keys",
        };
        self.verified.with_label_values(&[outcome]).inc();
    }
}

#[cfg(test)]
impl Default for PasswordMetrics {
    fn default() -> Self {
        Self::new().expect("valid names")
    }
}

#[cfg(test)]
impl Default for TokenMetrics {
    fn default() -> Self {
        Self::new().expect("valid names")
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricFamily;

    use super::*;

    #[test]
    fn everything_can_be_registered_and_is_exported() {
        let metrics = Metrics::new().expect("valid names");
        metrics.answered("GET", "/v1/todos", "200", Duration::from_millis(3));
        metrics.refused("not_found");
        metrics.pool(Connections { busy: 1, idle: 2, limit: 10 });
        metrics.tokens.verified(None);
        let families = metrics.registry.gather();
        let own: Vec<_> =
            families.iter().map(MetricFamily::name).filter(|name| name.starts_with("todo_api_")).collect();
        assert_eq!(own.len(), 12, "{own:?}");
    }
}
