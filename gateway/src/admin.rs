//! What the gateway tells its admin listener.
//!
//! The gateway is ready as long as it is not stopping. Upstreams are reported and not required: if a broken API made
//! every gateway unready, a load balancer would have nobody left to send to, and clients would meet closed ports where
//! a gateway could have told them what is wrong and when to come back.

use std::sync::Arc;

use prometheus::Registry;
use todo_shared::admin::{Check, Inspect, Readiness};

use crate::runtime::Shared;

/// The gateway as operators see it.
#[derive(Debug)]
pub struct Admin {
    shared: Arc<Shared>,
}

impl Admin {
    /// A view of this state.
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Inspect for Admin {
    async fn readiness(&self) -> Readiness {
        let draining = self.shared.stopping.is_draining();
        let stopping = Check {
            name: "draining",
            ok: !draining,
            required: true,
            detail: if draining { "the gateway is stopping" } else { "not draining" }.to_owned(),
        };
        let runtime = self.shared.runtime();
        let upstreams = runtime.upstreams.iter().map(|upstream| {
            let targets = upstream.targets();
            let total = targets.len();
            let healthy = targets.iter().filter(|target| target.endpoint.is_healthy()).count();
            let detail = format!("{}: {healthy} of {total} addresses are healthy", upstream.rule.name);
            Check { name: "upstream", ok: healthy > 0, required: false, detail }
        });
        Readiness::of([stopping].into_iter().chain(upstreams).collect())
    }

    fn metrics(&self) -> &Registry {
        &self.shared.metrics.registry
    }
}
