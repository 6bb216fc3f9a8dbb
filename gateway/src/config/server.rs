//! `[server]`: the process.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use todo_shared::config::Section;

/// The process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Worker threads.
    pub threads: usize,
    /// How long requests are still taken after the signal to stop.
    pub stop_delay: Duration,
    /// The longest wait of a stop for requests in flight.
    pub drain_timeout: Duration,
}

pub(super) fn read(section: &Section<'_>) -> Option<Server> {
    let threads = section.optional::<usize>("threads");
    let stop_delay = section.get("stop_delay");
    let drain_timeout = section.get("drain_timeout");
    if threads == Some(Some(0)) {
        section.complain("threads", "at least one thread is needed", Some("leave it out for one each processor"));
    }
    let threads = threads?.unwrap_or_else(|| available_parallelism().map_or(1, NonZeroUsize::get));
    Some(Server { threads, stop_delay: stop_delay?, drain_timeout: drain_timeout? })
}
