//! `[admin]`: the listener for operators.

use std::net::SocketAddr;

use todo_shared::{admin::refuse_beyond_loopback, config::Section};

/// The listener for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; loopback only.
    pub listen: SocketAddr,
}

pub(super) fn read(section: &Section<'_>) -> Option<Admin> {
    let listen = section.get::<SocketAddr>("listen")?;
    if let Some(message) = refuse_beyond_loopback(listen) {
        section.complain("listen", message, Some("use 127.0.0.1 or [::1]"));
    }
    Some(Admin { listen })
}
