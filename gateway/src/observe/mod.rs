//! What operators see: metrics, and one line in the access log for every request and for every connection that never
//! became one.

pub mod access_log;
pub mod metrics;
pub mod problem_code;
pub mod query;
pub mod record;
