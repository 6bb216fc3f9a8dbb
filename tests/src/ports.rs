//! Free loopback ports.
//!
//! They are taken from below the range that the system uses for outgoing connections: a port that is free now is then
//! not taken by somebody's client before the tier under test binds it.

use std::{
    io,
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// How many ports this process has looked at. No port is looked at twice.
static ASKED: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on.
///
/// # Errors
/// When there is none left.
pub fn free() -> io::Result<u16> {
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    loop {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        if asked >= COUNT {
            return Err(io::Error::other("no free port left"));
        }
        let offset = (begin + u32::from(asked)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).map_err(io::Error::other)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}
