//! Both tiers together, on free ports and in a folder of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{
    api::{self, Api, merge},
    client::Client,
    ports,
    process::{Process, tier},
    raw::{connect_tls, tls_config},
};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The port of its HTTPS listener.
    pub https_port: u16,
    /// The port of its plain listener, which redirects if nothing else is said.
    pub http_port: u16,
    /// The port of its admin listener.
    pub admin_port: u16,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its process.
    pub process: Process,
    folder: PathBuf,
}

impl Gateway {
    /// Starts a gateway in front of `upstream` ports, with `extra` TOML above the settings of the tests.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(folder: &Path, upstreams: &[u16], extra: &str) -> io::Result<Self> {
        Self::start_with(folder, upstreams, extra, &[]).await
    }

    /// The same with variables of the environment.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_with(
        folder: &Path,
        upstreams: &[u16],
        extra: &str,
        variables: &[(&str, PathBuf)],
    ) -> io::Result<Self> {
        let (https_port, http_port, admin_port) = (ports::free()?, ports::free()?, ports::free()?);
        let config = folder.join("gateway.toml");
        let toml = settings(https_port, http_port, admin_port, folder, upstreams);
        fs::write(&config, merge(&toml, extra)?)?;
        let mut command = command(&config)?;
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let process = Process::start("gateway", folder, &mut command)?;
        let mut gateway = Self { https_port, http_port, admin_port, config, process, folder: folder.to_path_buf() };
        gateway.ready().await?;
        Ok(gateway)
    }

    /// Starts the process again after it was stopped.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.process = Process::start("gateway", &self.folder, &mut command(&self.config)?)?;
        self.ready().await
    }

    /// Starts a process beside the running one, which is to take over from it (`server.upgrade_socket`), and hands back
    /// the one that was running.
    ///
    /// # Errors
    /// When it does not start.
    pub fn upgrade(&mut self, name: &str) -> io::Result<Process> {
        let successor = Process::start(name, &self.folder, &mut command(&self.config)?)?;
        Ok(std::mem::replace(&mut self.process, successor))
    }

    async fn ready(&mut self) -> io::Result<()> {
        let client = Client::http(self.admin_port)?;
        api::ready(&mut self.process, &client).await
    }

    /// Lays `extra` over the configuration file; the gateway notices by itself.
    ///
    /// # Errors
    /// Those of the file.
    pub fn reconfigure(&self, extra: &str) -> io::Result<()> {
        fs::write(&self.config, merge(&fs::read_to_string(&self.config)?, extra)?)
    }

    /// The file of the development CA.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("tls/ca.pem")
    }

    /// The access log's lines so far, as JSON.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.process.stdout).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// A client of the HTTPS listener.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn client(&self) -> io::Result<Client> {
        Client::https(self.https_port, &self.ca())
    }

    /// A connection to the HTTPS listener for HTTP/1.1 in raw octets.
    ///
    /// # Errors
    /// Those of the connection and the handshake.
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let config = tls_config(&self.ca(), &["http/1.1"])?;
        connect_tls(Arc::new(config), self.https_port, "localhost").await
    }

    /// A client of the admin listener.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn admin(&self) -> io::Result<Client> {
        Client::http(self.admin_port)
    }
}

/// The whole service.
#[derive(Debug)]
pub struct Stack {
    /// The gateway.
    pub gateway: Gateway,
    /// The API behind it.
    pub api: Api,
    /// The URL of its database.
    pub database: String,
    /// Everything it writes.
    pub folder: TempDir,
}

impl Stack {
    /// Starts both tiers over a SQLite file.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn sqlite() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("todo-stack-").tempdir()?;
        let database = api::sqlite_url(folder.path());
        Self::start(folder, database, "", "").await
    }

    /// Starts both tiers over a database.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn over(database: String) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("todo-stack-").tempdir()?;
        Self::start(folder, database, "", "").await
    }

    /// Starts both tiers with TOML of the test's own above the settings of all tests.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(folder: TempDir, database: String, api_extra: &str, gateway_extra: &str) -> io::Result<Self> {
        let api = Api::start(folder.path(), &database, api_extra).await?;
        let gateway = Gateway::start(folder.path(), &[api.port], gateway_extra).await?;
        Ok(Self { gateway, api, database, folder })
    }

    /// A client that goes through the gateway.
    ///
    /// # Panics
    /// When the CA cannot be read.
    pub fn client(&self) -> Client {
        self.gateway.client().expect("the CA")
    }
}

fn command(config: &Path) -> io::Result<Command> {
    let mut command = tier("todo-gateway")?;
    command.args(["run", "--config"]).arg(config);
    Ok(command)
}

fn settings(https: u16, http: u16, admin: u16, folder: &Path, upstreams: &[u16]) -> String {
    let addresses: Vec<_> = upstreams.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!(
        r#"
        [listen]
        https = "127.0.0.1:{https}"
        http = "127.0.0.1:{http}"
        [admin]
        listen = "127.0.0.1:{admin}"
        [tls]
        directory = "{tls}"
        [log]
        format = "json"
        [access_log]
        format = "json"
        # All clients of a test come from one address, and a fast machine lets them come often.
        [connections]
        max_handshakes_per_address = 2000
        [upstreams.api]
        addresses = [{addresses}]
        "#,
        tls = folder.join("tls").display(),
        addresses = addresses.join(", "),
    )
}
