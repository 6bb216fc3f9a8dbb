//! A child process that is always stopped: by the test, or when its handle is dropped.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, kill_process};

use crate::wait::eventually;

/// The signals that tests send.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// Ask to stop.
    Terminate,
    /// Ask to stop, as Ctrl-C does; PostgreSQL's fast shutdown.
    Interrupt,
    /// Ask to read the configuration again.
    HangUp,
    /// Ask to start a successor.
    User2,
    /// Stop at once, without a chance to clean up.
    Kill,
    /// Stand still.
    Freeze,
    /// Go on.
    Thaw,
}

/// A running process whose output goes to files.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What it writes to standard output.
    pub stdout: PathBuf,
    /// What it writes to standard error.
    pub stderr: PathBuf,
}

impl Process {
    /// Starts a command; its output is appended to `<folder>/<name>.out` and `.err`.
    ///
    /// # Errors
    /// Those of starting a process and opening files.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> io::Result<Self> {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let child = command.stdin(Stdio::null()).stdout(append(&stdout)?).stderr(append(&stderr)?).spawn()?;
        Ok(Self { child, stdout, stderr })
    }

    /// Sends a signal. A process that has ended already is no error.
    pub fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::HangUp => rustix::process::Signal::HUP,
            Signal::User2 => rustix::process::Signal::USR2,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Freeze => rustix::process::Signal::STOP,
            Signal::Thaw => rustix::process::Signal::CONT,
        };
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// The status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not ended within `patience`.
    pub async fn wait(&mut self, patience: Duration) -> ExitStatus {
        eventually("the process to end", patience, async || self.child.try_wait().ok().flatten()).await
    }

    /// Sends `signal` and waits until it has ended.
    ///
    /// # Panics
    /// When it has not ended within a minute.
    pub async fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait(Duration::from_mins(1)).await
    }

    /// Everything it has written to standard error so far.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// Asks first, so that a script can end what it started; kills what has not ended after two seconds.
impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::Terminate);
            let deadline = Instant::now() + Duration::from_secs(2);
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of this build's binaries: `target/<profile>`.
///
/// # Errors
/// When the running executable cannot be found.
pub fn binaries() -> io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.ancestors().find(|folder| folder.join("todo-api").is_file());
    folder
        .map(Path::to_path_buf)
        .ok_or_else(|| io::Error::other("todo-api is not built: run `cargo build --workspace`"))
}

/// A command of one of the tiers, with a clean environment of configuration.
///
/// # Errors
/// When the binaries are not built.
pub fn tier(name: &str) -> io::Result<Command> {
    let mut command = Command::new(binaries()?.join(name));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("TODO_") {
            command.env_remove(variable);
        }
    }
    Ok(command)
}
