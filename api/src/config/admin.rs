//! `[admin]`: where operators look.

use std::net::SocketAddr;

use todo_shared::{admin::refuse_beyond_loopback, config::Section};

/// `[admin]`
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where liveness, readiness and metrics are served.
    pub listen: SocketAddr,
}

pub(super) fn read(section: &Section<'_>) -> Option<Admin> {
    let listen = section.get("listen")?;
    if let Some(reason) = refuse_beyond_loopback(listen) {
        section.complain("listen", reason, Some("listen on 127.0.0.1 and reach it through a sidecar or a tunnel"));
    }
    Some(Admin { listen })
}
