//! What the gateway and the API must agree on, and nothing else: a thing that one tier alone uses lives in that tier.

pub mod admin;
pub mod bearer;
pub mod cli;
pub mod config;
pub mod environment;
pub mod problem;
pub mod process;
pub mod request_id;
pub mod stop;
pub mod telemetry;
pub mod token;
pub mod trace_context;
pub mod version;
