//! How a tier is told to stop: SIGTERM or SIGINT, which mean the same. Nobody who presses Ctrl-C wants requests cut.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// The signals that stop a process. While this exists they do nothing by themselves.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Completes with the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// After the first signal, the time in which load balancers learn that the tier is not ready any more, and in which
    /// it goes on taking the requests that they still send. Another signal ends it.
    pub async fn delay(&mut self, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        tracing::info!(stop_delay = ?delay, "stopping: not ready any more, requests are still taken");
        if timeout(delay, self.next()).await.is_ok() {
            tracing::info!("told to stop again: the rest of the delay is left out");
        }
    }
}
