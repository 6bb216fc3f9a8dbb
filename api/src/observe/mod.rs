//! What operators see: metrics, one log line a request, readiness.

pub mod metrics;
