//! What must hold of each parser that is ours, whatever octets it is given. The fuzzer in `targets/` asks with octets of
//! its own making; each function here panics where the promise is broken.
//!
//! The parsers' own files are compiled here as they stand, under the names by which they know each other: so nothing of
//! them has to be public in the gateway, and fuzzing does not build the gateway's dependencies a second time.

#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the gateway uses more of these files than is asked here")]

extern crate self as todo_shared;

pub mod edge;
#[path = "../../shared/src/problem.rs"]
pub mod problem;
pub mod proxy_protocol;
pub mod request;
#[path = "../../shared/src/request_id.rs"]
pub mod request_id;
pub mod response;
#[path = "../../shared/src/trace_context.rs"]
pub mod trace_context;

use crate::{request_id::RequestId, trace_context::TraceParent};

/// `traceparent` and `X-Request-Id`: what is taken over is written as it was read, and can be put into a field and a log.
pub fn trace(octets: &[u8]) {
    if let Some(parent) = TraceParent::parse(octets) {
        let written = parent.to_string();
        assert_eq!(TraceParent::parse(written.as_bytes()), Some(parent));
        assert_eq!(written.len(), 55, "version 00 has one length");
        assert!(written.contains(&parent.trace_id().to_string()));
    }
    if let Some(id) = RequestId::accept(octets) {
        assert_eq!(id.as_str().as_bytes(), octets);
        assert!(
            octets.len() <= 64 && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet))
        );
    }
}
