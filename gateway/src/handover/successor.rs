//! Starting the successor, for service managers: SIGUSR2 makes a gateway start the program it was started as once more.
//!
//! A service manager knows its service by one process, and would take a successor that it did not start for a stranger. The
//! gateway's own child belongs to the service, and says so itself when it serves (`MAINPID=` of `sd_notify(3)`).

use std::{
    env, io,
    process::{Child, Command},
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

/// Starts a successor at each SIGUSR2, one at a time. Whether it takes over is decided on the upgrade socket.
pub async fn keep_starting(may_be_relieved: bool) {
    let mut signals = match signal(SignalKind::user_defined2()) {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "SIGUSR2 cannot be received; start the successor by hand");
            return std::future::pending().await;
        }
    };
    loop {
        signals.recv().await;
        if !may_be_relieved {
            tracing::warn!("told to upgrade, but without server.upgrade_socket a successor cannot take over");
            continue;
        }
        match start() {
            Ok(mut child) => {
                tracing::info!(successor = child.id(), "told to upgrade: a successor starts");
                // When it takes over, nobody waits here any more.
                let ended = spawn_blocking(move || child.wait()).await;
                let status = ended.map_err(io::Error::other).flatten().map(|status| status.to_string());
                let status = status.unwrap_or_else(|error| error.to_string());
                tracing::error!(%status, "the successor ended before it served");
            }
            Err(error) => tracing::error!(%error, "a successor cannot be started"),
        }
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
