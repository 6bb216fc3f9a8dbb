//! Starting the successor, for service managers: SIGUSR2 makes a gateway start the program it was started as once more.
//!
//! A service manager knows its service by one process, and would take a successor that it did not start for a stranger. The
//! gateway's own child belongs to the service, and says so itself when it serves (`MAINPID=` of `sd_notify(3)`).

use std::{
    env, io,
    process::{Child, Command, ExitStatus},
};

use sd_notify::NotifyState;
use tokio::{signal::unix::Signal, time::timeout};

use crate::runtime::Shared;

/// The signals that this takes.
#[derive(Debug)]
pub struct SuccessorSignals {
    /// SIGUSR2: start one.
    pub upgrade: Signal,
    /// SIGCHLD: one may have ended.
    pub child: Signal,
}

/// Starts a successor at each SIGUSR2, one at a time. Whether it takes over is decided on the upgrade socket.
pub async fn keep_starting(shared: &Shared, mut signals: SuccessorSignals) {
    loop {
        signals.upgrade.recv().await;
        if shared.started.server.upgrade_socket.is_none() {
            tracing::warn!("told to upgrade, but without server.upgrade_socket a successor cannot take over");
            continue;
        }
        // Once until it asks for the sockets, and once from there until it serves.
        let patience = 2 * shared.runtime().config.server.upgrade_timeout;
        match start() {
            Ok(mut child) => {
                tracing::info!(successor = child.id(), "told to upgrade: a successor starts");
                let mut status = timeout(patience, ended(&mut child, &mut signals.child)).await;
                // One that has been agreed to is the gateway, and serves.
                if status.is_err() && !shared.stopping.has_agreed() && !shared.stopping.is_draining() {
                    // Held up, most likely: it would be in the way of the next one.
                    let _ = child.kill();
                    status = Ok(ended(&mut child, &mut signals.child).await);
                }
                if let Ok(status) = status {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(%status, "the successor ended before it served");
                }
            }
            Err(error) => tracing::error!(%error, "a successor cannot be started"),
        }
    }
}

async fn ended(child: &mut Child, signals: &mut Signal) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        signals.recv().await;
    }
}

/// The program as it was called, so that a file that has been replaced since is the new one.
fn start() -> io::Result<Child> {
    let mut arguments = env::args_os();
    let program = arguments.next().ok_or_else(|| io::Error::other("this process does not know its program"))?;
    Command::new(program).args(arguments).spawn()
}

/// Tells a service manager, where there is one, that this process is the service and serves.
pub fn tell_service_manager() {
    let states = [NotifyState::Ready, NotifyState::MainPid(std::process::id())];
    if let Err(error) = sd_notify::notify(&states) {
        tracing::warn!(%error, "the service manager was not told that this process serves");
    }
}
