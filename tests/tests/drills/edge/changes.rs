//! A gateway before three replicas on PostgreSQL, and each change that an operator makes to it.

use std::{fs, sync::Arc, time::Duration};

use tempfile::TempDir;
use todo_tests::{
    api::Api,
    certificates::{Authority, Volume},
    client::Client,
    load::{Load, Question},
    postgres::Postgres,
    process::Signal,
    raw::{connect_tls, tls_config},
    stack::Gateway,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// How many todos are asked for in turn: a mixed-up answer would be another one's.
const TODOS: u32 = 8;

/// Every so many reloads an invalid file comes first.
const INVALID: u32 = 3;

/// What is under test. Processes end before their folders.
pub(super) struct Edge {
    gateway: Gateway,
    replicas: Vec<Api>,
    authority: Authority,
    volume: Volume,
    token: String,
    questions: Vec<Question>,
    _folders: Vec<TempDir>,
    _postgres: Postgres,
}

impl Edge {
    /// Starts everything, and makes the todos that are asked for.
    pub(super) async fn start() -> Self {
        let postgres = Postgres::start().await.expect("PostgreSQL");
        let database = postgres.database().expect("a database");
        let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let mut replicas = Vec::new();
        for folder in &folders[1..] {
            let api = Api::start(folder.path(), &database, "[server]\nstop_delay = \"1s\"\n").await;
            replicas.push(api.expect("a replica"));
        }
        let folder = folders[0].path();
        let authority = Authority::new(folder).expect("an authority");
        let pair = authority.issue().expect("a certificate");
        let volume = Volume::new(&folder.join("volume"), &pair).expect("a volume");
        let socket = folder.join("upgrade.sock");
        let extra = format!(
            "{}[server]\nupgrade_socket = \"{}\"\n[upstreams.api]\nhealth_interval = \"100ms\"\nunhealthy_after = 1000\n",
            volume.toml(),
            socket.display()
        );
        let ports: Vec<_> = replicas.iter().map(|api| api.port).collect();
        let gateway = Gateway::start(folder, &ports, &extra).await.expect("a gateway");
        let client = Client::https(gateway.https_port, &authority.file).expect("a client");
        let account = client.register().await;
        let mut questions = Vec::new();
        for number in 0..TODOS {
            let todo = account.todo(&format!("asked for again and again: {number}")).await;
            let path = format!("/v1/todos/{}", todo["id"].as_str().expect("an id"));
            let body = account.client.get(&path).await.expect(200).text;
            questions.push(Question { path, body });
        }
        let token = account.client.token().to_owned();
        Self { gateway, replicas, authority, volume, token, questions, _folders: folders, _postgres: postgres }
    }

    pub(super) async fn load(&self) -> Load {
        let (port, ca) = (self.gateway.https_port, &self.authority.file);
        Load::start(port, ca, Some(&self.token), self.questions.clone()).await.expect("load")
    }

    async fn metrics(&self) -> String {
        self.gateway.admin().expect("a client").get("/metrics").await.expect(200).text
    }

    async fn reloads(&self, result: &str) -> u64 {
        let prefix = format!("gateway_reloads_total{{result=\"{result}\"}} ");
        let metrics = self.metrics().await;
        metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or_default()
    }

    /// Does something that makes the gateway read its files, and waits for what comes of it.
    async fn reloaded(&self, result: &str, change: impl FnOnce()) {
        let before = self.reloads(result).await;
        change();
        eventually(result, PATIENCE, async || (self.reloads(result).await > before).then_some(())).await;
    }

    /// Takes one of the replicas out, or puts it back; now and then with an invalid file in between.
    pub(super) async fn reload(&self, time: u32) {
        let valid = fs::read_to_string(&self.gateway.config).expect("the file");
        if time.is_multiple_of(INVALID) {
            let broken = ["[hosts]\ntrustd = []\n", "[[[", "[upstreams.api]\naddresses = []\n"];
            let broken = broken[time as usize / INVALID as usize % broken.len()];
            self.reloaded("failed", || fs::write(&self.gateway.config, broken).expect("written")).await;
            self.reloaded("succeeded", || fs::write(&self.gateway.config, &valid).expect("written")).await;
        }
        let ports = self.replicas.iter().skip(usize::from(time.is_multiple_of(2))).map(|api| api.port);
        let addresses: Vec<_> = ports.map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let next = format!("[upstreams.api]\naddresses = [{}]\n", addresses.join(", "));
        self.reloaded("succeeded", || self.gateway.reconfigure(&next).expect("written")).await;
    }

    /// Swaps the pair, and waits until new clients are shown it.
    pub(super) async fn swap_certificate(&self, time: u32) {
        let pair = self.authority.issue().expect("a certificate");
        self.volume.mount(&format!("swap-{time}"), &pair).expect("swapped");
        let config = Arc::new(tls_config(&self.authority.file, &[]).expect("a client"));
        eventually("the new certificate", PATIENCE, async || {
            let stream = connect_tls(Arc::clone(&config), self.gateway.https_port, "localhost").await;
            let stream = stream.expect("a handshake");
            let shown = stream.get_ref().1.peer_certificates().expect("a certificate");
            (shown[0].as_ref() == pair.der).then_some(())
        })
        .await;
    }

    /// Replaces the process, and waits until the old one has ended.
    pub(super) async fn upgrade(&mut self, time: u32) {
        let mut before = self.gateway.upgrade(&format!("gateway-{time}")).expect("started");
        let now = &self.gateway.process;
        let is_alone = || now.errors().contains("this one is alone");
        eventually("the successor to be alone", PATIENCE, async || is_alone().then_some(())).await;
        assert!(before.wait(PATIENCE).await.success(), "the predecessor failed: {}", before.errors());
    }

    /// Restarts one of the replicas, in turn, as soon as all of them take their share.
    pub(super) async fn restart_replica(&mut self, time: u32) {
        let all: Vec<_> = self.replicas.iter().map(|api| format!("127.0.0.1:{}", api.port)).collect();
        eventually("every replica to be healthy", PATIENCE, async || {
            let metrics = self.metrics().await;
            let is_healthy = |address: &String| {
                metrics.lines().any(|line| line.contains("healthy") && line.contains(address) && line.ends_with(" 1"))
            };
            all.iter().all(is_healthy).then_some(())
        })
        .await;
        let number = time as usize % self.replicas.len();
        let replica = &mut self.replicas[number];
        assert!(replica.process.stop(Signal::Terminate).await.success(), "{}", replica.process.errors());
        replica.restart().await.expect("started again");
    }
}
