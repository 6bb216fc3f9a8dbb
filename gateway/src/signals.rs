//! The signals that the gateway takes. From the moment it begins to serve none of them ends it as the system would: whoever
//! sees that it is ready may send one at once.

use std::io;

use todo_shared::stop::StopSignals;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::handover::SuccessorSignals;

/// Every one of them; what comes before somebody waits for it is not lost.
#[derive(Debug)]
pub struct Signals {
    /// Stop.
    pub stop: StopSignals,
    /// SIGHUP: reload.
    pub hangup: Signal,
    /// Start a successor, and look after it.
    pub successor: SuccessorSignals,
}

impl Signals {
    /// Begins to take them.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen() -> io::Result<Self> {
        // They are the process's: this runtime is there to ask for them, and whichever runs later brings them.
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let _entered = runtime.enter();
        let successor =
            SuccessorSignals { upgrade: signal(SignalKind::user_defined2())?, child: signal(SignalKind::child())? };
        Ok(Self { stop: StopSignals::listen()?, hangup: signal(SignalKind::hangup())?, successor })
    }
}
