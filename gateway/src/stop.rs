//! How the gateway ends: told by a signal, relieved by a successor or given up by a predecessor, it drains and leaves.
//!
//! ```text
//! SIGTERM or SIGINT          not ready, each HTTP/1 answer is the last of its connection; `server.stop_delay` goes by
//! or another process serves  the same, without the delay
//! then                       nothing is accepted, GOAWAY over HTTP/2, connections that wait get `server.idle_grace`
//! until                      the last connection has ended, `server.drain_timeout` is over, or a second signal comes
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
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use todo_shared::stop::StopSignals;
use tokio::{sync::watch, time::timeout};

use crate::runtime::Shared;

/// How often a stop looks whether the last connection has ended.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// So many looks in a row that find no connection are believed.
const QUIET_LOOKS: u32 = 5;

/// How far a stop has come.
#[derive(Debug, Default)]
pub struct Stopping {
    draining: AtomicBool,
    /// Each connection holds one, from the moment it is accepted.
    connections: Arc<()>,
    relieved: watch::Sender<bool>,
    /// Whether a successor has been told that it is the gateway.
    succeeded: AtomicBool,
    at_once: watch::Sender<bool>,
}

impl Stopping {
    /// From now on the gateway is not ready, and each HTTP/1 answer is the last of its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
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

    /// Another process serves what this one did, its successor or a predecessor that gave it up: this one stops.
    pub fn relieve(&self) {
        self.drain();
        self.relieved.send_replace(true);
    }

    /// Takes note of whether a successor has been told that it is the gateway: then it is not this one's to end any more.
    pub fn agree(&self, to_successor: bool) {
        self.succeeded.store(to_successor, Ordering::Release);
    }

    /// Whether one has been.
    pub fn has_agreed(&self) -> bool {
        self.succeeded.load(Ordering::Acquire)
    }

    /// Completes when another process serves what this one did.
    pub async fn relieved(&self) {
        // The sender is ours.
        let _ = self.relieved.subscribe().wait_for(|relieved| *relieved).await;
    }
}

/// Waits for a reason to stop, says no to load balancers, and lets Pingora stop when the stop delay is over.
pub struct Stop {
    shared: Arc<Shared>,
    /// Taken once, when Pingora begins to run.
    signals: Mutex<Option<StopSignals>>,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let stopping = &self.shared.stopping;
        let signals = self.signals.lock().take();
        if let Some(mut signals) = signals {
            let told = tokio::select! {
                () = signals.next() => true,
                () = stopping.relieved() => false,
            };
            stopping.drain();
            // Who was relieved has not been told yet.
            tokio::spawn(second_signal(Arc::clone(&self.shared), signals, u8::from(!told) + 1));
            if told {
                self.delay().await;
            }
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        ShutdownSignal::GracefulTerminate
    }
}

impl Stop {
    /// At one of these signals.
    pub const fn new(shared: Arc<Shared>, signals: StopSignals) -> Self {
        Self { shared, signals: Mutex::new(Some(signals)) }
    }

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
    let mut quiet = 0;
    // Several looks, because who was accepted last is counted only when its thread comes to it.
    while quiet < QUIET_LOOKS {
        thread::sleep(DRAIN_STEP);
        let open = shared.stopping.connections();
        if open == 0 {
            quiet += 1;
            continue;
        }
        quiet = 0;
        if Instant::now() >= deadline || *shared.stopping.at_once.borrow() {
            tracing::warn!(open, "stopped before every connection had ended");
            return;
        }
    }
    tracing::info!("stopped");
}
