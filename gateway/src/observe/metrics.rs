//! Every metric of the gateway: names, labels and help texts stand here and nowhere else.
//!
//! Labels come from closed sets (routes, upstreams and certificates of the configuration, why-codes, classes), never from a request,
//! so that no client can grow the registry.

use std::{collections::HashMap, net::SocketAddr};

use http::Method;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    proto::MetricFamily,
};
use todo_shared::{process, version};

use crate::edge::Cap;

/// The label of requests that met no route.
pub const NO_ROUTE: &str = "none";

/// The values of `listener`.
pub const LISTENERS: [&str; 2] = ["https", "http"];

/// The labels of one address.
const ENDPOINT: [&str; 2] = ["upstream", "address"];

/// Upper bounds of the latency histogram, in seconds: finest where the gateway's own share would show. Two seconds are among
/// them because an alert asks for them, and between bounds a quantile is only guessed.
const LATENCY_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// The gateway's metrics and the registry that exports them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// What `/metrics` writes.
    pub registry: Registry,
    /// Requests answered, by `route`, `method` and `status` class.
    pub requests: IntCounterVec,
    /// From the first octet of the head to the last of the answer, by the same labels, in seconds.
    pub request_seconds: HistogramVec,
    /// Requests being worked on.
    pub in_flight: IntGauge,
    /// Requests the gateway refused or failed itself, by why-code.
    pub refusals: IntCounterVec,
    /// Connections that are open, by `listener`.
    pub connections_open: IntGaugeVec,
    /// Connections accepted, by `listener`.
    pub connections: IntCounterVec,
    /// Connections the gateway closed without an answer, by why-code.
    pub connections_closed: IntCounterVec,
    /// Connections turned away before anything was spent on them, by the `cap` that was met.
    pub connections_refused: IntCounterVec,
    /// HTTP/2 streams refused because their connection had too many.
    pub streams_refused: IntCounter,
    /// Whether the process is over its bound, by `resource`.
    pub overloaded: IntGaugeVec,
    /// TLS handshakes completed, by `version` and whether the session was `resumed`.
    pub handshakes: IntCounterVec,
    /// When the certificate that serves a name ends, by `name`, in seconds since the epoch.
    pub certificate_end: IntGaugeVec,
    /// When the last of the shared ticket keys ends, in seconds since the epoch; 0 without such.
    pub ticket_key_end: IntGauge,
    /// Whether checks find an address well, by `upstream` and `address`.
    pub upstream_healthy: IntGaugeVec,
    /// Whether an address is set aside for its answers, by `upstream` and `address`.
    pub upstream_ejected: IntGaugeVec,
    /// Requests that an address is working on, by `upstream` and `address`.
    pub upstream_in_flight: IntGaugeVec,
    /// How often an address was set aside, by `upstream`, `address` and `reason`.
    pub upstream_ejections: IntCounterVec,
    /// Addresses, by `upstream`.
    pub upstream_addresses: IntGaugeVec,
    /// Questions to DNS, by `upstream` and `result`.
    pub upstream_lookups: IntCounterVec,
    /// Requests that were sent again, by `upstream`.
    pub upstream_retries: IntCounterVec,
    /// Requests that were not, because the budget was used up, by `upstream`.
    pub upstream_retries_refused: IntCounterVec,
    /// Requests sent to an address, by `upstream`, `address` and `outcome` (a status class or a why-code).
    pub upstream_requests: IntCounterVec,
    /// Compression of answers.
    pub compression: CompressionMetrics,
    /// Reloads, by `result`.
    pub reloads: IntCounterVec,
    /// Whether the last reload, or the start, succeeded.
    pub reload_successful: IntGauge,
    /// When the configuration in force was loaded, in seconds since the epoch.
    pub reload_success_time: IntGauge,
    /// Lines of the access log that were dropped because its queue was full.
    pub access_log_dropped: IntCounter,
}

/// What is counted of compression.
#[derive(Debug, Clone)]
pub struct CompressionMetrics {
    /// Answers the gateway compressed, by `coding`.
    pub answers: IntCounterVec,
    /// Octets of their bodies, by `coding` and `side`: `in` from the API, `out` to the client.
    pub octets: IntCounterVec,
    /// Answers that are being compressed.
    pub open: IntGauge,
    /// Answers that went out plain because as many were compressed as may be.
    pub skipped: IntCounter,
}

impl CompressionMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let (answers, octets) = ("gateway_compressed_answers_total", "gateway_compression_octets_total");
        let skipped = "gateway_compressions_skipped_total";
        Ok(Self {
            answers: counters(registry, answers, "Answers the gateway compressed.", &["coding"])?,
            octets: counters(registry, octets, "Octets before and after compression.", &["coding", "side"])?,
            open: gauge(registry, "gateway_compressions_open", "Answers being compressed.")?,
            skipped: add(registry, IntCounter::new(skipped, "Answers left plain: too many were being compressed.")?)?,
        })
    }
}

impl Metrics {
    /// All metrics, registered.
    ///
    /// # Errors
    /// Where two metrics have one name, which a test rules out.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let latency = HistogramOpts::new("gateway_request_duration_seconds", "Time from head to end of the answer.")
            .buckets(LATENCY_BUCKETS.to_vec());
        let request_labels = ["route", "method", "status"];
        let metrics = Self {
            requests: counters(&registry, "gateway_requests_total", "Requests answered.", &request_labels)?,
            request_seconds: add(&registry, HistogramVec::new(latency, &request_labels)?)?,
            in_flight: gauge(&registry, "gateway_requests_in_flight", "Requests being worked on.")?,
            refusals: counters(&registry, "gateway_refusals_total", "Answers the gateway made itself.", &["reason"])?,
            connections_open: add(
                &registry,
                IntGaugeVec::new(Opts::new("gateway_connections_open", "Open client connections."), &["listener"])?,
            )?,
            connections: counters(&registry, "gateway_connections_total", "Connections accepted.", &["listener"])?,
            connections_closed: counters(
                &registry,
                "gateway_connections_closed_total",
                "Connections closed without an answer.",
                &["reason"],
            )?,
            connections_refused: counters(
                &registry,
                "gateway_connections_refused_total",
                "Connections turned away at a cap.",
                &["cap"],
            )?,
            streams_refused: add(
                &registry,
                IntCounter::new(
                    "gateway_http2_streams_refused_total",
                    "HTTP/2 streams beyond the limit of a connection.",
                )?,
            )?,
            overloaded: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new("gateway_overloaded", "Whether the process uses more than its bound: 1 or 0."),
                    &["resource"],
                )?,
            )?,
            handshakes: counters(
                &registry,
                "gateway_tls_handshakes_total",
                "TLS handshakes completed.",
                &["version", "resumed"],
            )?,
            certificate_end: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "gateway_certificate_not_after_timestamp_seconds",
                        "When the certificate that serves the name ends.",
                    ),
                    &["name"],
                )?,
            )?,
            ticket_key_end: gauge(
                &registry,
                "gateway_tls_ticket_key_not_after_timestamp_seconds",
                "When the last of the shared ticket keys ends; 0 without such.",
            )?,
            upstream_healthy: gauges(
                &registry,
                "gateway_upstream_healthy",
                "Whether checks find the address well.",
                &ENDPOINT,
            )?,
            upstream_ejected: gauges(
                &registry,
                "gateway_upstream_ejected",
                "Whether the address is set aside for its answers.",
                &ENDPOINT,
            )?,
            upstream_in_flight: gauges(
                &registry,
                "gateway_upstream_requests_in_flight",
                "Requests the address is working on.",
                &ENDPOINT,
            )?,
            upstream_ejections: counters(
                &registry,
                "gateway_upstream_ejections_total",
                "Times the address was set aside.",
                &["upstream", "address", "reason"],
            )?,
            upstream_addresses: gauges(&registry, "gateway_upstream_addresses", "Addresses.", &["upstream"])?,
            upstream_lookups: counters(
                &registry,
                "gateway_upstream_lookups_total",
                "Questions to DNS.",
                &["upstream", "result"],
            )?,
            upstream_retries: counters(
                &registry,
                "gateway_upstream_retries_total",
                "Requests sent again.",
                &["upstream"],
            )?,
            upstream_retries_refused: counters(
                &registry,
                "gateway_upstream_retries_refused_total",
                "Requests not sent again, because the budget was used up.",
                &["upstream"],
            )?,
            upstream_requests: counters(
                &registry,
                "gateway_upstream_requests_total",
                "Requests sent upstream.",
                &["upstream", "address", "outcome"],
            )?,
            compression: CompressionMetrics::new(&registry)?,
            reloads: counters(&registry, "gateway_reloads_total", "Configuration reloads.", &["result"])?,
            reload_successful: gauge(
                &registry,
                "gateway_reload_last_successful",
                "Whether the last reload succeeded: 1 or 0.",
            )?,
            reload_success_time: gauge(
                &registry,
                "gateway_reload_last_success_timestamp_seconds",
                "When the configuration in force was loaded.",
            )?,
            access_log_dropped: add(
                &registry,
                IntCounter::new("gateway_access_log_dropped_total", "Access log lines dropped.")?,
            )?,
            registry,
        };
        for cap in Cap::ALL {
            // Nought until the first one is met, not nothing: the first would otherwise be no rise.
            metrics.connections_refused.with_label_values(&[cap.as_str()]);
        }
        version::register(&metrics.registry, "gateway_build_info")?;
        process::register(&metrics.registry)?;
        Ok(metrics)
    }

    /// The gauges of one address.
    pub fn endpoint(&self, upstream: &str, address: SocketAddr) -> EndpointMetrics {
        let address = address.to_string();
        let labels = [upstream, &address];
        EndpointMetrics {
            healthy: self.upstream_healthy.with_label_values(&labels),
            ejected: self.upstream_ejected.with_label_values(&labels),
            in_flight: self.upstream_in_flight.with_label_values(&labels),
        }
    }

    /// Stops exporting the end of a certificate for a name that is no longer served.
    pub fn forget_certificate(&self, name: &str) {
        let _ = self.certificate_end.remove_label_values(&[name]);
    }

    /// Stops exporting an address that is gone.
    pub fn forget_endpoint(&self, upstream: &str, address: &str) {
        for gauge in [&self.upstream_healthy, &self.upstream_ejected, &self.upstream_in_flight] {
            let _ = gauge.remove_label_values(&[upstream, address]);
        }
        for counter in [&self.upstream_ejections, &self.upstream_requests] {
            forget(counter, &[("upstream", upstream), ("address", address)]);
        }
    }

    /// Stops exporting an upstream that is gone.
    pub fn forget_upstream(&self, upstream: &str) {
        let _ = self.upstream_addresses.remove_label_values(&[upstream]);
        for counter in [&self.upstream_lookups, &self.upstream_retries, &self.upstream_retries_refused] {
            forget(counter, &[("upstream", upstream)]);
        }
    }
}

/// The gauges of one address.
#[derive(Debug, Clone)]
pub struct EndpointMetrics {
    /// Whether checks find it well.
    pub healthy: IntGauge,
    /// Whether it is set aside.
    pub ejected: IntGauge,
    /// Requests it is working on.
    pub in_flight: IntGauge,
}

/// Removes every series that has these labels, whatever its others are.
fn forget(counters: &IntCounterVec, labels: &[(&str, &str)]) {
    let families = counters.collect();
    for series in families.iter().flat_map(MetricFamily::get_metric) {
        let all: HashMap<_, _> = series.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.iter().all(|(name, value)| all.get(name) == Some(value)) {
            let _ = counters.remove(&all);
        }
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    add(registry, IntGauge::new(name, help)?)
}

/// A status as a label.
pub const fn status_class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        // The client left before there was an answer.
        _ => "none",
    }
}

/// A method as a label: a client can invent others.
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_can_be_registered_and_the_build_is_known() {
        let metrics = Metrics::new().expect("distinct names");
        metrics.requests.with_label_values(&["api", "GET", "2xx"]).inc();
        let names: Vec<_> = metrics.registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert!(
            names.contains(&"gateway_build_info".to_owned()) && names.contains(&"gateway_requests_total".to_owned())
        );
    }

    #[test]
    fn labels_come_from_closed_sets() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").expect("token")), "other");
        assert_eq!(
            [99, 100, 204, 304, 499, 503, 999].map(status_class),
            ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "none"]
        );
    }
}
