//! `[server]`: where requests are taken and how long they may take.

use std::{net::SocketAddr, time::Duration};

use todo_shared::config::Section;

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Where requests are taken.
    pub listen: SocketAddr,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests are still taken after the signal to stop.
    pub stop_delay: Duration,
    /// How long a stop then waits for those that have begun.
    pub drain_timeout: Duration,
    /// Whether a write to a list or a todo needs `If-Match`.
    pub require_if_match: bool,
}

pub(super) fn read(section: &Section<'_>) -> Option<Server> {
    let listen = section.get("listen");
    let request_timeout = section.get("request_timeout");
    let stop_delay = section.get("stop_delay");
    let drain_timeout = section.get("drain_timeout");
    let require_if_match = section.get("require_if_match");
    if request_timeout == Some(Duration::ZERO) {
        section.complain("request_timeout", "leaves no time for a request", None);
    }
    Some(Server {
        listen: listen?,
        request_timeout: request_timeout?,
        stop_delay: stop_delay?,
        drain_timeout: drain_timeout?,
        require_if_match: require_if_match?,
    })
}
