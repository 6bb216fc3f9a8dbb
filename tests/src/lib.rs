//! What the black-box tests and the demo need: both tiers as real processes, a real PostgreSQL, clients and raw sockets.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code stops at the first surprise"
)]

pub mod api;
pub mod certificates;
pub mod client;
pub mod dns;
pub mod generated;
pub mod h2_frames;
pub mod load;
pub mod origin;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod recorder;
pub mod relay;
pub mod stack;
pub mod stage;
pub mod strictness;
pub mod tls_origin;
pub mod wait;
