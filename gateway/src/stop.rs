//! How the gateway ends: told by a signal or relieved by a successor, it drains and leaves.
//!
//! ```text
//! SIGTERM or SIGINT       not ready, each HTTP/1 answer is the last of its connection; `server.stop_delay` goes by
//! or a successor serves   the same, without the delay
//! then                    nothing is accepted, GOAWAY over HTTP/2, connections that wait get `server.idle_grace`
//! until                   the last connection has ended, `server.drain_timeout` is over, or a second signal comes
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use todo_shared::stop::StopSignals;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::runtime::Shared;

/// How often a stop looks whether the last connection has ended.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// How far a stop has come.
#[derive(Debug, Default)]
pub struct Stopping {
    /// Whether a signal to stop would be heard. Before that it ends the process without another word.
    hears: AtomicBool,
    draining: AtomicBool,
    /// Each connection holds one, from the moment it is accepted.
    connections: Arc<()>,
    relieved: Notify,
    at_once: watch::Sender<bool>,
}

impl Stopping {
    /// From now on the gateway is not ready, and each HTTP/1 answer is the last of its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether a signal to stop would be heard.
    pub fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// Whether the gateway is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What a connection holds for as long as it lasts.
    pub fn accepted(&self) -> Arc<()> {
        Arc::clone(&self.connections)
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.connections) - 1
    }

    /// A successor serves: this process stops.
    pub fn relieve(&self) {
        self.drain();
        self.relieved.notify_one();
    }
}

/// Waits for a reason to stop, says no to load balancers, and lets Pingora stop when the stop delay is over.
pub struct Stop {
    /// What is stopped.
    pub shared: Arc<Shared>,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let stopping = &self.shared.stopping;
        match StopSignals::listen() {
            Ok(mut signals) => {
                stopping.hears.store(true, Ordering::Relaxed);
                let told = tokio::select! {
                    () = signals.next() => true,
                    () = stopping.relieved.notified() => false,
                };
                stopping.drain();
                // Who was relieved has not been told yet.
                tokio::spawn(second_signal(Arc::clone(&self.shared), signals, u8::from(!told) + 1));
                if told {
                    self.delay().await;
                }
            }
            // A process that cannot be stopped must not run.
            Err(error) => {
                tracing::error!(%error, "signals cannot be received; stopping");
                stopping.drain();
            }
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        ShutdownSignal::GracefulTerminate
    }
}

impl Stop {
    /// The time in which load balancers learn that the gateway is not ready any more, and in which it goes on taking the
    /// requests that they still send.
    async fn delay(&self) {
        let delay = self.shared.runtime().config.server.stop_delay;
        if !delay.is_zero() {
            tracing::info!(stop_delay = ?delay, "stopping: not ready any more, requests are still taken");
            let mut at_once = self.shared.stopping.at_once.subscribe();
            let _ = timeout(delay, at_once.wait_for(|at_once| *at_once)).await;
        }
    }
}

async fn second_signal(shared: Arc<Shared>, mut signals: StopSignals, count: u8) {
    for _ in 0..count {
        signals.next().await;
    }
    tracing::warn!("told to stop again: stopping at once");
    shared.stopping.at_once.send_replace(true);
}

/// Waits until the last connection has ended, or for the time that a stop may take.
pub fn drain(shared: &Shared) {
    let deadline = Instant::now() + shared.runtime().config.server.drain_timeout;
    loop {
        // First, because who was accepted last may not have been counted yet.
        thread::sleep(DRAIN_STEP);
        let open = shared.stopping.connections();
        if open == 0 {
            break;
        }
        if Instant::now() >= deadline || *shared.stopping.at_once.borrow() {
            tracing::warn!(open, "stopped before every connection had ended");
            return;
        }
    }
    tracing::info!("stopped");
}
