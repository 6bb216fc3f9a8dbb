//! Free loopback ports.
//!
//! The system hands out a port that is free now; a set keeps this process from handing the same one out twice.

use std::{collections::BTreeSet, io, net::TcpListener, sync::Mutex};

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nothing listens on.
///
/// # Errors
/// Those of binding a socket.
pub fn free() -> io::Result<u16> {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if given.insert(port) {
            return Ok(port);
        }
    }
}
