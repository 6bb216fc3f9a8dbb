//! The upgrade of the binary: a running gateway hands its listening sockets to a new process, and not one connection is
//! refused or lost on the way.
//!
//! ```text
//! predecessor                                successor
//!   waits on `server.upgrade_socket`           checks its configuration, reads certificates, opens its log
//!                                       <----- connects
//!   sends its listening sockets ------------>  takes those its configuration names, binds the others
//!                                              serves: until the next step, both accept
//!                                       <----- "ready"
//!   decides: "agreed" ---------------------->  tells the service manager that it is the service
//!                                       <----- "known"
//!   accepts nothing more, drains, ends
//!   closes the connection ------------------>  is alone, and waits for its own successor
//! ```
//!
//! A listening socket and the queue of connections that nobody has accepted yet are one object in the kernel, whoever holds
//! a descriptor of it: what is queued is accepted by one of the two. Until "ready" the predecessor serves as if nothing
//! were; a successor that fails has changed nothing. One that takes longer than `server.upgrade_timeout` is told "given up":
//! if it was only held up, it hears that when it goes on, serves whomever it has accepted by then, and ends.
//!
//! Who may connect: the file is open to its owner only (mode 600), and both sides ask the kernel who the other is; it has
//! to be the same user.

mod give;
mod message;
mod successor;
mod take;

use std::{io, path::PathBuf, time::Duration};

pub use self::{
    give::{Offer, Relieved},
    successor::{SuccessorSignals, keep_starting, tell_service_manager},
    take::{Predecessor, listen},
};

/// How long any step may take but the successor's start.
const LONGEST_STEP: Duration = Duration::from_secs(5);

/// Why sockets could not be taken over, although a gateway runs that should hand them over.
#[derive(Debug, thiserror::Error)]
#[error("cannot take over from the gateway behind {} (server.upgrade_socket): {source}; it goes on as it was", path.display())]
pub struct HandoverError {
    path: PathBuf,
    source: io::Error,
}
