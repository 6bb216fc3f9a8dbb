//! The gateway, nginx and HAProxy, each a process in front of a recording origin of its own.

use std::{fs, path::Path, process::Command, time::Duration};

use tempfile::TempDir;
use todo_tests::{
    ports,
    process::Process,
    recorder::Recorder,
    stack::Gateway,
    strictness::{Case, Pace, SETTINGS, Seen, play},
    wait::eventually,
};
use tokio::net::TcpStream;

/// Long enough for whoever means to answer, and short enough for what never comes.
const PACE: Pace = Pace { quiet: Duration::from_millis(1500), patience: Duration::from_secs(3) };

/// What the page's tables were made with: Debian 12's.
const VERSIONS: [(&str, &str); 2] = [("nginx", "nginx/1.22."), ("haproxy", "version 2.6.")];

/// The peers that are not of those versions, as they name themselves. They read in other ways, and are judged by nobody.
pub(super) fn other_versions() -> Option<String> {
    let mut others = Vec::new();
    for (program, expected) in VERSIONS {
        let said = Command::new(Path::new("/usr/sbin").join(program)).arg("-v").output().expect("the version");
        let said = [said.stdout, said.stderr].concat();
        let line = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
        if !line.contains(expected) {
            others.push(line);
        }
    }
    (!others.is_empty()).then(|| others.join(" and "))
}

/// What has to end with a peer.
enum Running {
    Gateway { _gateway: Box<Gateway> },
    Process { _process: Process },
}

/// One proxy.
pub(super) struct Peer {
    port: u16,
    origin: Recorder,
    _running: Running,
    _folder: TempDir,
}

impl Peer {
    pub(super) async fn ours() -> Self {
        let (origin, folder) = ground().await;
        let gateway = Gateway::start(folder.path(), &[origin.port], SETTINGS).await.expect("the gateway");
        let port = gateway.http_port;
        Self { port, origin, _running: Running::Gateway { _gateway: Box::new(gateway) }, _folder: folder }
    }

    pub(super) async fn nginx() -> Self {
        let configuration = include_str!("nginx.conf");
        Self::start("nginx", configuration, |command, file| command.arg("-c").arg(file)).await
    }

    pub(super) async fn haproxy() -> Self {
        let configuration = include_str!("haproxy.cfg");
        Self::start("haproxy", configuration, |command, file| command.arg("-db").arg("-f").arg(file)).await
    }

    async fn start(
        name: &str,
        configuration: &str,
        arguments: for<'a> fn(&'a mut Command, &Path) -> &'a mut Command,
    ) -> Self {
        let (origin, folder) = ground().await;
        let port = ports::free().expect("a port");
        let text = configuration
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("ORIGIN", &origin.port.to_string())
            .replace("PORT", &port.to_string());
        let file = folder.path().join(format!("{name}.conf"));
        fs::write(&file, text).expect("written");
        let mut command = Command::new(Path::new("/usr/sbin").join(name));
        let process = Process::start(name, folder.path(), arguments(&mut command, &file));
        let mut process = process.unwrap_or_else(|error| panic!("{name}: {error}; `make tools` installs it"));
        eventually(&format!("{name} to listen"), Duration::from_secs(20), async || {
            assert!(process.ended().is_none(), "{name} ended: {}", process.errors());
            TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        Self { port, origin, _running: Running::Process { _process: process }, _folder: folder }
    }

    /// Plays the cases, one after the other.
    pub(super) async fn play(&self, cases: &[Case]) -> Vec<Seen> {
        let mut all = Vec::new();
        for case in cases {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected");
            stream.set_nodelay(true).expect("a socket");
            all.push(play(case, &self.origin, stream, PACE).await);
        }
        all
    }
}

async fn ground() -> (Recorder, TempDir) {
    let folder = tempfile::Builder::new().prefix("todo-strictness-").tempdir().expect("a folder");
    (Recorder::start().await.expect("an origin"), folder)
}
