//! Both images at work, as production runs them: the user they name, a root that cannot be written, the production
//! variables, secrets as files, a database over verified TLS.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use todo_tests::{client::Client, wait::eventually};

use super::{
    container::{Container, Running},
    engine::Images,
};
use crate::{script, service::Stack};

const USER: u32 = 65532;

/// Where the images listen, and their admin listeners on loopback.
const PORTS: [u16; 5] = [8000, 8443, 8080, 9901, 9902];

/// A user's first minute goes through both images, an internal caller reaches the API at its own port, the health check
/// of each image succeeds inside it, and both end cleanly when they are told to.
pub(crate) async fn both_serve_as_production_runs_them() {
    for port in PORTS {
        let free = TcpListener::bind(("0.0.0.0", port)).is_ok();
        assert!(free, "port {port} is taken, and the images listen on their own ports: stop what listens there");
    }
    let (images, stack) = (Images::built(), Stack::up());
    let mounted = Mounted::of(&stack);

    // The same program brings the schema up to date.
    let mut migration = mounted.container(&["migrate"]).start(&images, "todo-api");
    let status = migration.ended().await;
    assert!(status.success(), "{status}: {}", migration.words());

    let mut api = mounted.container(&[]).start(&images, "todo-api");
    healthy(&mut api, "todo-api").await;
    restricted(&api);
    let direct = Client::http(8000).expect("a client").get("/health").await.expect(200);
    assert_eq!(direct.json()["status"], "alive", "{}", direct.text);

    let mut gateway = mounted.container(&[]).start(&images, "todo-gateway");
    healthy(&mut gateway, "todo-gateway").await;
    restricted(&gateway);
    let minute = ["https://localhost:8443", "--ca", stack.setting("STACK_CA")];
    script::run(&mut script::command("deploy/bin/smoke", &minute)).succeeded();
    // Clients see the port that 8443 is published as.
    let plain = Client::http(8080).expect("a client").call("GET", "/health?a=b", &[("host", "localhost")], None).await;
    assert_eq!(plain.expect(308).header("location"), Some("https://localhost/health?a=b"));

    for (tier, running) in [("todo-gateway", &mut gateway), ("todo-api", &mut api)] {
        let begin = Instant::now();
        // Longer than `server.stop_delay` and `server.drain_timeout` in production; nothing is being answered, so it
        // takes the delay alone.
        let status = running.stop(Duration::from_secs(40)).await;
        assert_eq!(status.code(), Some(0), "{tier} ended with {status}: {}", running.words());
        assert!(begin.elapsed() < Duration::from_secs(15), "{tier} took {:?} to stop", begin.elapsed());
    }
}

/// Without a configuration an image says what it lacks and keeps no data in itself.
pub(crate) async fn without_a_configuration_they_refuse() {
    let images = Images::built();
    for (tier, lacks) in [("todo-api", "database.url"), ("todo-gateway", "/etc/todo/gateway.toml")] {
        let mut running = Container::default().start(&images, tier);
        let status = running.ended().await;
        assert!(!status.success(), "{tier} started: {}", running.words());
        assert!(running.words().contains(lacks), "{tier} does not say that it lacks {lacks}: {}", running.words());
    }
}

/// What is mounted into both containers.
struct Mounted {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Mounted {
    /// The production variables, filled in for a stack's database, and the secrets as files that only the images' user
    /// can read.
    fn of(stack: &Stack) -> Self {
        let (folder, root) = (tempfile::tempdir().expect("a folder"), script::is_root());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("entered by all");
        let secret = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            // Only root can give a file away.
            fs::set_permissions(&path, fs::Permissions::from_mode(if root { 0o400 } else { 0o444 })).expect("its own");
            if root {
                chown(&path, Some(USER), Some(USER)).expect("given away");
            }
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let authority = stack.setting("STACK_CA");
        secret("ca.pem", &read(authority));
        secret("key-ring", &read(stack.setting("STACK_KEY_RING_FILE")));
        secret("tls-chain", &read(stack.path("tls/chain.pem").to_str().expect("a path")));
        secret("tls-key", &read(stack.path("tls/key.pem").to_str().expect("a path")));
        let url = read(stack.setting("STACK_DATABASE_URL_FILE"));
        assert!(url.contains("sslmode=verify-full"), "the stack's database is reached over verified TLS");
        secret("database-url", &url.replace(authority, "/run/secrets/ca.pem"));
        let certificates = "[[tls.certificates]]\nchain = \"/run/secrets/tls-chain\"\nkey = \"/run/secrets/tls-key\"\n";
        secret("gateway.toml", certificates);

        let example = read(script::root().join("config/production/.env.example").to_str().expect("a path"));
        let set = example.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
        let variables = set.map(|(name, value)| {
            let (name, value) = match (name, value) {
                (name, value) if !value.is_empty() => (name.to_owned(), value),
                ("TODO_API__DATABASE__URL", _) => (format!("{name}_FILE"), "/run/secrets/database-url"),
                ("TODO_API__AUTH__KEY_RING", _) => (format!("{name}_FILE"), "/run/secrets/key-ring"),
                ("TODO_API__AUTH__ISSUER", _) => (name.to_owned(), "https://localhost"),
                ("TODO_GATEWAY__HOSTS__TRUSTED", _) => (name.to_owned(), "localhost, localhost:8443"),
                (name, _) => panic!("{name} has to be set in production, and this test does not know it"),
            };
            (name, value.to_owned())
        });
        Self { variables: variables.collect(), folder }
    }

    fn container(&self, arguments: &[&str]) -> Container {
        let mounts = ["ca.pem", "key-ring", "tls-chain", "tls-key", "database-url"]
            .map(|name| (format!("/run/secrets/{name}"), self.folder.path().join(name)));
        let configuration = ("/etc/todo/gateway.toml".to_owned(), self.folder.path().join("gateway.toml"));
        Container {
            variables: self.variables.clone(),
            mounts: mounts.into_iter().chain([configuration]).collect(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        }
    }
}

/// Waits until the health check that the image names succeeds inside.
async fn healthy(running: &mut Running<'_>, tier: &str) {
    let begin = Instant::now();
    eventually(&format!("{tier} to be healthy"), Duration::from_mins(1), async || {
        assert!(running.runs(), "{tier} ended: {}", running.words());
        let said = running.check();
        assert!(begin.elapsed() < Duration::from_secs(30), "{tier} is not healthy: {said:?}\n{}", running.words());
        (said.code == 0).then_some(())
    })
    .await;
}

/// Its user, its privileges and its root are what an attacker who got in would have; there is no shell to get.
fn restricted(running: &Running<'_>) {
    let folder = Path::new("/proc").join(running.process());
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a process of this machine");
    let status = read("status");
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!(field("Uid:").split_whitespace().next(), Some("65532"), "{status}");
    assert_eq!(field("Gid:").split_whitespace().next(), Some("65532"), "{status}");
    assert_eq!(field("CapBnd:").trim_matches('0'), "", "{status}");
    assert_eq!(field("NoNewPrivs:"), "1", "{status}");
    // Nobody but root may look at another user's mounts.
    if script::is_root() {
        let mounts = read("mounts");
        let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[1] == "/");
        assert!(root.is_some_and(|fields| fields[3].split(',').any(|option| option == "ro")), "{mounts}");
    }
    for shell in ["/bin/sh", "sh", "/bin/bash", "/busybox/sh"] {
        assert_ne!(running.inside(&[shell, "-c", "true"]).code, 0, "there is a shell: {shell}");
    }
}
