//! What is renewed while clients connect: certificates and ticket keys.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc, time::Duration};

use rustls::{ClientConfig, HandshakeKind};
use tempfile::TempDir;
use todo_tests::{
    certificates::{Authority, Pair, Volume, write},
    load::{Load, Question},
    origin::{Origin, ok},
    process::{Signal, tier},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::io::AsyncWriteExt as _;

use crate::service::Services;

const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway whose certificate a test renews.
struct Edge {
    gateway: Gateway,
    authority: Authority,
    volume: Volume,
    origin: Origin,
    _folder: TempDir,
}

impl Edge {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path()).unwrap();
        let origin = Origin::start(async |request| ok(&request.target().repeat(50))).await.unwrap();
        let volume = Volume::new(&folder.path().join("volume"), &authority.issue().unwrap()).unwrap();
        let gateway = Gateway::start(folder.path(), &[origin.port], &volume.toml()).await.unwrap();
        Self { gateway, authority, volume, origin, _folder: folder }
    }

    async fn load(&self) -> Load {
        let questions = (0..20).map(|number| format!("/v1/{number}"));
        let questions = questions.map(|path| Question { body: path.repeat(50), path }).collect();
        Load::start(self.gateway.https_port, &self.authority.file, None, questions).await.unwrap()
    }

    /// The certificate that a new client is shown.
    async fn shown(&self) -> Vec<u8> {
        let config = Arc::new(tls_config(&self.authority.file, &[]).unwrap());
        let stream = connect_tls(config, self.gateway.https_port, "localhost").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn shows(&self, pair: &Pair) {
        eventually("the new certificate", PATIENCE, async || (self.shown().await == pair.der).then_some(())).await;
    }

    async fn metrics(&self) -> String {
        self.gateway.admin().unwrap().get("/metrics").await.expect(200).text
    }
}

pub(crate) async fn certificates_change_under_load_however_they_are_replaced(_: &Services) {
    let edge = Edge::start().await;
    let load = edge.load().await;
    // As a volume of Kubernetes.
    let pair = edge.authority.issue().unwrap();
    edge.volume.mount("second", &pair).unwrap();
    edge.shows(&pair).await;
    // As certificate clients do: a file renamed over each, the chain first.
    let pair = edge.authority.issue().unwrap();
    for (file, text) in [(edge.volume.chain(), &pair.chain), (edge.volume.key(), &pair.key)] {
        let new = file.with_extension("new");
        write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }
    edge.shows(&pair).await;
    // In place, and told by a signal.
    edge.gateway.reconfigure("[reload]\nwatch = false\n").unwrap();
    eventually("no more watching", PATIENCE, async || {
        edge.gateway.process.signal(Signal::HangUp);
        let reloads = edge.metrics().await;
        reloads
            .lines()
            .any(|line| line.starts_with("gateway_reloads_total") && line.contains("succeeded"))
            .then_some(())
    })
    .await;
    let pair = edge.authority.issue().unwrap();
    write(&edge.volume.chain(), &pair.chain).unwrap();
    write(&edge.volume.key(), &pair.key).unwrap();
    edge.gateway.process.signal(Signal::HangUp);
    edge.shows(&pair).await;
    load.more(30).await;
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

pub(crate) async fn a_broken_pair_keeps_the_old_one_and_says_so(_: &Services) {
    let edge = Edge::start().await;
    let (load, before) = (edge.load().await, edge.shown().await);
    let (one, other) = (edge.authority.issue().unwrap(), edge.authority.issue().unwrap());
    let cut = Pair { chain: one.chain[..200].to_owned(), ..one.clone() };
    let mixed = Pair { key: other.key.clone(), ..one.clone() };
    for (name, pair, sentence) in [("cut", cut, "PEM form"), ("mixed", mixed, "does not belong to")] {
        edge.volume.mount(name, &pair).unwrap();
        eventually("the refusal", PATIENCE, async || {
            let is_told = edge.gateway.process.errors().contains(sentence);
            let is_counted = edge.metrics().await.lines().any(|line| line == "gateway_reload_last_successful 0");
            (is_told && is_counted).then_some(())
        })
        .await;
        assert_eq!(edge.shown().await, before, "{name}");
    }
    edge.volume.mount("good", &one).unwrap();
    edge.shows(&one).await;
    assert!(edge.metrics().await.lines().any(|line| line == "gateway_reload_last_successful 1"));
    let key: String = other.key.lines().skip(1).take(1).collect();
    assert!(!edge.gateway.process.errors().contains(&key), "a log holds a key");
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

/// How a client that keeps its sessions is received.
async fn kind(config: &Arc<ClientConfig>, gateway: &Gateway) -> HandshakeKind {
    let mut stream = connect_tls(config.clone(), gateway.https_port, "localhost").await.unwrap();
    // Tickets come with the first answer.
    stream.write_all(b"GET /v1/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
    stream.get_ref().1.handshake_kind().unwrap()
}

/// Adds a key with the command, which says nothing of it.
fn add_key(file: &Path, lead: &str) {
    let output = tier("todo-gateway").unwrap().arg("ticket-key").arg(file).args(["--lead", lead]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(keys(file).iter().all(|key| !said.contains(key)), "{said}");
}

fn keys(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(' ').nth(2).map(str::to_owned)).collect()
}

pub(crate) async fn gateways_that_share_ticket_keys_resume_each_others_sessions(_: &Services) {
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("ticket.keys");
    add_key(&file, "0s");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let extra = format!("[tls]\nticket_keys = \"{}\"\n", file.display());
    let certificates = |volume: &Volume| volume.toml().replace("[tls]\n", &extra);
    let first = Edge::start().await;
    first.gateway.reconfigure(&certificates(&first.volume)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let second = Gateway::start(folder.path(), &[first.origin.port], &certificates(&first.volume)).await.unwrap();
    eventually("the first one to take the file", PATIENCE, async || {
        let text = first.metrics().await;
        let line =
            text.lines().find_map(|line| line.strip_prefix("gateway_tls_ticket_key_not_after_timestamp_seconds "));
        line.is_some_and(|end| end.parse::<f64>().unwrap() > 0.0).then_some(())
    })
    .await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let trusted = tls_config(&first.authority.file, &[]).unwrap();
        let provider = trusted.crypto_provider().clone();
        let fresh = || {
            let mut roots = rustls::RootCertStore::empty();
            let pem = fs::read(&first.authority.file).unwrap();
            let certificate =
                <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem);
            roots.add(certificate.unwrap()).unwrap();
            let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]);
            Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
        };
        let client = fresh();
        assert_ne!(kind(&client, &first.gateway).await, HandshakeKind::Resumed, "{version:?}");
        assert_eq!(kind(&client, &second).await, HandshakeKind::Resumed, "{version:?}");
        assert_eq!(kind(&client, &first.gateway).await, HandshakeKind::Resumed, "{version:?}");
    }

    // A rotation: sessions under the old key are still resumed, and those under a key that has ended are not.
    let client = Arc::new(tls_config(&first.authority.file, &[]).unwrap());
    kind(&client, &first.gateway).await;
    let successes = async || {
        first.metrics().await.lines().find(|line| line.starts_with("gateway_reloads_total")).map(str::to_owned)
    };
    let before = successes().await;
    add_key(&file, "0s");
    eventually("the rotation to be noticed", PATIENCE, async || (successes().await != before).then_some(())).await;
    assert_eq!(kind(&client, &first.gateway).await, HandshakeKind::Resumed);
    let time = |when: &str| {
        let output = Command::new("date").args(["--utc", "--date", when, "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key = keys(&file).remove(0);
    let begin = time("-1 hour");
    write(&file, &format!("{begin} {} {key}\n", time("+6 seconds"))).unwrap();
    let client = Arc::new(tls_config(&first.authority.file, &[]).unwrap());
    eventually("a session under the key that ends soon", PATIENCE, async || {
        (kind(&client, &first.gateway).await == HandshakeKind::Resumed).then_some(())
    })
    .await;
    eventually("the key to have ended", PATIENCE, async || {
        (kind(&client, &first.gateway).await != HandshakeKind::Resumed).then_some(())
    })
    .await;
    // A file that is broken keeps the one in force.
    write(&file, "not a key\n").unwrap();
    eventually("the refusal", PATIENCE, async || {
        first.gateway.process.errors().contains("is no ticket key").then_some(())
    })
    .await;
    let said = first.gateway.process.errors() + &second.process.errors();
    assert!(!said.contains(&key), "a log holds a key");
}
