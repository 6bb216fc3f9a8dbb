//! A private PostgreSQL cluster on a free loopback port, run by an unprivileged user and removed when dropped.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    ports,
    process::{Process, Signal},
    wait::eventually,
};

/// A running cluster.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("todo-postgres-").tempdir()?;
        if let Some((user, group)) = unprivileged()? {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let data = folder.path().join("data");
        let made = command("initdb")?
            .args(["--auth=trust", "--username=todo", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        let mut postgres = Self { folder, port: ports::free()?, process: None, databases: AtomicU32::new(0) };
        postgres.launch().await?;
        Ok(postgres)
    }

    /// Starts the server on the data that is there.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn launch(&mut self) -> io::Result<()> {
        let mut server = command("postgres")?;
        server.arg("-D").arg(self.folder.path().join("data"));
        server.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "max_connections=200"]);
        server.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        self.process = Some(Process::start("postgres", self.folder.path(), &mut server)?);
        eventually("PostgreSQL to answer", Duration::from_mins(1), async || self.query("postgres", "SELECT 1").ok())
            .await;
        Ok(())
    }

    /// Kills the server and all its children at once, as a machine that loses power would.
    pub async fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let children = Command::new("pgrep").args(["-P", &process.id().to_string()]).output();
        process.stop(Signal::Kill).await;
        for child in children.iter().flat_map(|output| std::str::from_utf8(&output.stdout)).flat_map(str::lines) {
            let _ = Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status();
        }
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("todo_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://todo@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs one statement with `psql` and returns what it prints, rows a line, columns separated by `|`.
    ///
    /// # Errors
    /// With what `psql` says.
    pub fn query(&self, database: &str, statement: &str) -> io::Result<String> {
        query(&self.url(database), statement)
    }
}

/// Runs one statement at a URL with `psql`.
///
/// # Errors
/// With what `psql` says.
pub fn query(url: &str, statement: &str) -> io::Result<String> {
    let output = Command::new(program("psql")?)
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url])
        .output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// A transaction that has a table for itself until this is dropped.
#[derive(Debug)]
pub struct Locked(std::process::Child);

impl Locked {
    /// Locks it, and returns when it is locked.
    ///
    /// # Errors
    /// `psql` cannot be started or ended before the table was locked.
    pub fn table(url: &str, table: &str) -> io::Result<Self> {
        let mut psql = Command::new(program("psql")?);
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut locked = Self(psql.spawn()?);
        let missing = || io::Error::other("psql has no pipe");
        let input = locked.0.stdin.as_mut().ok_or_else(missing)?;
        writeln!(input, "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo locked")?;
        let mut said = String::new();
        BufReader::new(locked.0.stdout.as_mut().ok_or_else(missing)?).read_line(&mut said)?;
        if said == "locked\n" { Ok(locked) } else { Err(io::Error::other(format!("{table} was not locked: {said}"))) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Its connection ends with its input, and the server rolls back.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        process.signal(Signal::Interrupt);
        // Its children go with it only if it ends by itself; killing it is the last resort.
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.ended().is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// PostgreSQL refuses to run as root: there, its own user runs it. `None` for anybody else.
fn unprivileged() -> io::Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> io::Result<u32> {
        let output = Command::new("id").args(arguments).output()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().map_err(io::Error::other)
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))
}

fn command(name: &str) -> io::Result<Command> {
    let program = program(name)?;
    let Some((user, group)) = unprivileged()? else { return Ok(Command::new(program)) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]).arg(program);
    // A folder that the user cannot enter would make every program complain.
    command.current_dir("/");
    Ok(command)
}

/// Debian keeps the server's programs out of `PATH`.
fn program(name: &str) -> io::Result<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort();
    let debian = versions.into_iter().rev().map(|version| version.join("bin").join(name)).find(|path| path.is_file());
    let in_path = || {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders)
            .map(|folder: PathBuf| folder.join(name))
            .find(|path: &PathBuf| Path::is_file(path))
    };
    debian
        .or_else(in_path)
        .ok_or_else(|| io::Error::other(format!("{name} is missing: install the Debian package postgresql")))
}
