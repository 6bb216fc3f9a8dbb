//! The API as a process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    client::Client,
    ports,
    process::{Process, tier},
    wait::eventually,
};

/// How long a tier may take until it is ready.
pub const START: Duration = Duration::from_secs(30);

/// A running API.
#[derive(Debug)]
pub struct Api {
    /// The port of its listener.
    pub port: u16,
    /// The port of its admin listener.
    pub admin_port: u16,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its process.
    pub process: Process,
    folder: PathBuf,
}

/// The database behind an API, as its URL.
pub fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("todo.sqlite").display())
}

impl Api {
    /// Starts an API on free ports, with `extra` TOML above the settings of the tests, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(folder: &Path, database: &str, extra: &str) -> io::Result<Self> {
        let (port, admin_port) = (ports::free()?, ports::free()?);
        let config = folder.join("api.toml");
        let toml = settings(port, admin_port, database);
        fs::write(&config, merge(&toml, extra)?)?;
        let process = Process::start("api", folder, &mut command(&config)?)?;
        let mut api = Self { port, admin_port, config, process, folder: folder.to_path_buf() };
        api.ready().await?;
        Ok(api)
    }

    /// Starts the process again after it was stopped, on the same ports and files.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.process = Process::start("api", &self.folder, &mut command(&self.config)?)?;
        self.ready().await
    }

    async fn ready(&mut self) -> io::Result<()> {
        let client = Client::http(self.admin_port)?;
        ready(&mut self.process, &client).await
    }
}

/// Waits until a tier's admin listener calls it ready.
pub(crate) async fn ready(process: &mut Process, client: &Client) -> io::Result<()> {
    let ended = eventually("the tier to be ready", START, async || {
        if let Some(status) = process.ended() {
            return Some(Some(status));
        }
        let answer = client.send("GET", "/readyz", &[], None).await.ok()?;
        (answer.status == 200).then_some(None)
    })
    .await;
    match ended {
        None => Ok(()),
        Some(status) => Err(io::Error::other(format!("ended with {status}: {}", process.errors()))),
    }
}

/// Lays one TOML text over another: tables merge, everything else is replaced.
pub(crate) fn merge(below: &str, above: &str) -> io::Result<String> {
    let mut merged: toml::Table = below.parse().map_err(io::Error::other)?;
    let above: toml::Table = above.parse().map_err(io::Error::other)?;
    lay_over(&mut merged, above);
    Ok(merged.to_string())
}

fn lay_over(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(table)) => lay_over(inner, table),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn command(config: &Path) -> io::Result<Command> {
    let mut command = tier("todo-api")?;
    command.args(["run", "--config"]).arg(config);
    Ok(command)
}

fn settings(port: u16, admin_port: u16, database: &str) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:{port}"
        [admin]
        listen = "127.0.0.1:{admin_port}"
        [database]
        url = "{database}"
        [log]
        format = "json"
        "#
    )
}
