//! What operators see: metrics, one log line a request, readiness, and the admin listener that shows them.

pub mod metrics;
pub mod readiness;
pub mod request;

use todo_shared::admin::{Inspect, Readiness as Report};
use tokio::time::Instant;

use crate::state::AppState;

/// The API as its admin listener sees it.
#[derive(Debug)]
pub struct Operator(pub AppState);

impl Inspect for Operator {
    async fn readiness(&self) -> Report {
        self.0.readiness.report(Instant::now())
    }

    fn metrics(&self) -> &prometheus::Registry {
        self.0.metrics.pool(self.0.store.connections());
        self.0.metrics.ready(self.0.readiness.refusal(Instant::now()).is_none());
        &self.0.metrics.registry
    }
}
