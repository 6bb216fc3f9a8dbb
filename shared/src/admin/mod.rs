//! The admin listener of a tier: liveness, readiness and metrics, for operators.
//!
//! Liveness and readiness are open: who asks for them, a container's runtime or a load balancer, seldom has a secret. The
//! metrics need a token where one is configured; without one the listener stays on loopback, in every environment.

mod health;
mod listener;
mod settings;

use std::future::Future;

use prometheus::Registry;
use serde::Serialize;

pub use self::{
    health::health,
    listener::serve,
    settings::{AdminSettings, Token},
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_required_checks_count() {
        let check = |ok, required| Check { name: "x", ok, required, detail: String::new() };
        assert!(Readiness::of(vec![check(true, true), check(false, false)]).ready);
        assert!(!Readiness::of(vec![check(true, true), check(false, true)]).ready);
    }
}
