//! The admin listener of a tier: liveness, readiness and metrics, on an address that only operators reach.
//!
//! It has no authentication yet and therefore must not leave loopback; the configuration of each tier refuses any other
//! address, in every environment, with the sentence of [`refuse_beyond_loopback`].

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde::Serialize;
use tokio::net::TcpListener;

/// Whether a tier can take work, and why not.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Readiness {
    /// Whether load balancers should send requests.
    pub ready: bool,
    /// What was looked at, in the order of interest.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// Ready when every check that counts holds.
    pub fn of(checks: Vec<Check>) -> Self {
        Self { ready: checks.iter().all(|check| check.ok || !check.required), checks }
    }
}

/// One thing that readiness looks at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at, such as `database`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Whether the tier is unready without it; the others are reported only.
    pub required: bool,
    /// What an operator should know.
    pub detail: String,
}

/// What a tier tells its admin listener.
pub trait Inspect: Send + Sync + 'static {
    /// Looks at what the tier needs. Must answer within a second.
    fn readiness(&self) -> impl Future<Output = Readiness> + Send;

    /// The registry whose metrics are exported; gauges that are read on demand are brought up to date here.
    fn metrics(&self) -> &Registry;
}

/// The routes of the admin listener.
pub fn router<I: Inspect>(inspect: Arc<I>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz::<I>))
        .route("/metrics", get(metrics::<I>))
        .with_state(inspect)
}

/// Serves the admin listener until `stop` completes.
///
/// # Errors
/// Those of the socket.
pub async fn serve<I: Inspect>(
    listener: TcpListener,
    inspect: Arc<I>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(inspect)).with_graceful_shutdown(stop).await
}

/// The sentence for an admin address that others could reach; `None` for a safe one.
pub fn refuse_beyond_loopback(address: SocketAddr) -> Option<&'static str> {
    (!address.ip().is_loopback()).then_some("the admin listener has no authentication and must stay on loopback")
}

async fn readyz<I: Inspect>(State(inspect): State<Arc<I>>) -> Response {
    let readiness = inspect.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics<I: Inspect>(State(inspect): State<Arc<I>>) -> Response {
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&inspect.metrics().gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_required_checks_count() {
        let check = |ok, required| Check { name: "x", ok, required, detail: String::new() };
        assert!(Readiness::of(vec![check(true, true), check(false, false)]).ready);
        assert!(!Readiness::of(vec![check(true, true), check(false, true)]).ready);
    }

    #[test]
    fn only_loopback_is_safe() {
        let refused = |text: &str| refuse_beyond_loopback(text.parse().expect("address")).is_some();
        assert!(!refused("127.0.0.1:1") && !refused("[::1]:1"));
        assert!(refused("0.0.0.0:1") && refused("[::]:1") && refused("10.0.0.1:1"));
    }
}
