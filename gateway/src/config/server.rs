//! `[server]`: the process.

use std::{num::NonZeroUsize, path::PathBuf, thread::available_parallelism, time::Duration};

use todo_shared::config::Section;

use crate::config::connections::positive;

/// The process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Worker threads.
    pub threads: usize,
    /// How long requests are still taken after the signal to stop.
    pub stop_delay: Duration,
    /// How long a stop leaves connections open that wait for a request.
    pub idle_grace: Duration,
    /// The longest wait of a stop for requests in flight.
    pub drain_timeout: Duration,
    /// Where a successor asks for the listening sockets.
    pub upgrade_socket: Option<PathBuf>,
    /// How long a successor may take to serve.
    pub upgrade_timeout: Duration,
}

pub(super) fn read(section: &Section<'_>) -> Option<Server> {
    let threads = section.optional::<usize>("threads");
    let stop_delay = section.get("stop_delay");
    let idle_grace = section.get("idle_grace");
    let drain_timeout = section.get("drain_timeout");
    let upgrade_socket = section.optional("upgrade_socket");
    let upgrade_timeout = positive(section, "upgrade_timeout");
    if threads == Some(Some(0)) {
        section.complain("threads", "at least one thread is needed", Some("leave it out for one each processor"));
    }
    let threads = threads?.unwrap_or_else(|| available_parallelism().map_or(1, NonZeroUsize::get));
    Some(Server {
        threads,
        stop_delay: stop_delay?,
        idle_grace: idle_grace?,
        drain_timeout: drain_timeout?,
        upgrade_socket: upgrade_socket?,
        upgrade_timeout: upgrade_timeout?,
    })
}
