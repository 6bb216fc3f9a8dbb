//! The whole service on this machine: `deploy/bin/stack`.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use todo_tests::{client::Client, wait::eventually};

use crate::script::{self, Said};

/// A running stack, which ends with its handle.
#[derive(Debug)]
pub(crate) struct Stack {
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

impl Stack {
    /// Starts it in a folder of its own and waits until every part is ready.
    pub(crate) fn up() -> Self {
        let folder = tempfile::Builder::new().prefix("todo-drill-").tempdir().expect("a folder");
        let mut stack = Self { folder, settings: BTreeMap::new() };
        stack.run("deploy/bin/stack", &["up"]).succeeded();
        let text = fs::read_to_string(stack.folder.path().join("stack.env")).expect("stack.env");
        let lines = text.lines().filter_map(|line| line.split_once('='));
        stack.settings = lines.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect();
        stack
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A value of `stack.env`.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).unwrap_or_else(|| panic!("stack.env has no {name}"))
    }

    /// A script with this stack in its environment.
    pub(crate) fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = script::command(script, arguments);
        command.env("STACK", self.folder.path());
        command
    }

    /// Runs a script on this stack to its end.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Said {
        script::run(&mut self.command(script, arguments))
    }

    /// The id of a part's process.
    pub(crate) fn process(&self, part: &str) -> String {
        let path = self.folder.path().join("run").join(format!("{part}.pid"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.split_whitespace().next().expect("an id").to_owned()
    }

    /// A file of the stack's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a statement as the owner of the schema and returns what it prints.
    pub(crate) fn query(&self, statement: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, "service=todo"]);
        script::run(psql.env("PGSERVICEFILE", self.path("secrets/pg_service.conf"))).succeeded().trim().to_owned()
    }

    /// A client of a part's admin listener.
    pub(crate) fn admin(&self, part: &str) -> Client {
        let name = format!("STACK_{}_ADMIN_PORT", part.replace('-', "_").to_uppercase());
        Client::http(self.setting(&name).parse().expect("a port")).expect("a client")
    }

    /// A client of one of the gateways, `1` or `2`.
    pub(crate) fn client(&self, gateway: u8) -> Client {
        let port = self.setting(&format!("STACK_GATEWAY_{gateway}_HTTPS_PORT")).parse().expect("a port");
        Client::https(port, self.setting("STACK_CA").as_ref()).expect("the CA")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let said = self.run("deploy/bin/stack", &["down"]);
        // A second panic would hide the first.
        assert!(std::thread::panicking() || said.code == 0, "it could not be stopped: {}{}", said.out, said.err);
    }
}

/// Every part is ready, an account can be made through one gateway and used through the other, Prometheus sees both
/// tiers, and nothing runs any more after `down`.
pub(crate) async fn comes_up_answers_and_leaves_nothing() {
    let stack = Stack::up();
    let table = stack.run("deploy/bin/stack", &["status"]).succeeded();
    let parts = ["postgres", "redis", "api-1", "api-2", "api-3", "gateway-1", "gateway-2", "prometheus"];
    for part in parts {
        let line = table.lines().find(|line| line.starts_with(part)).unwrap_or_else(|| panic!("no {part} in {table}"));
        assert_eq!(line.split_whitespace().nth(1), Some("ready"), "{line}");
    }
    let account = stack.client(1).register().await;
    stack.client(2).with_token(account.client.token()).get("/v1/me").await.expect(200);
    let prometheus = Client::http(stack.setting("STACK_PROMETHEUS_PORT").parse().expect("a port")).expect("a client");
    eventually("Prometheus to see both tiers", Duration::from_secs(30), async || {
        let seen = prometheus.get("/api/v1/query?query=count%20by%20(tier)%20(up%20==%201)").await.json();
        let of = |tier: &str| {
            let series = seen["data"]["result"].as_array()?.iter().find(|series| series["metric"]["tier"] == tier)?;
            Some(series["value"][1].clone())
        };
        (of("api") == Some("3".into()) && of("gateway") == Some("2".into())).then_some(())
    })
    .await;

    // A part that was killed is said to be stopped, and can be started again.
    stack.run("deploy/bin/stack", &["kill", "api-2"]).succeeded();
    let said = stack.run("deploy/bin/stack", &["status"]);
    assert!(said.out.lines().any(|line| line.starts_with("api-2") && line.contains("stopped")), "{}", said.out);
    said.failed();
    stack.run("deploy/bin/stack", &["start", "api-2"]).succeeded();
    stack.run("deploy/bin/stack", &["status"]).succeeded();

    // What is up is not started a second time, and a word that is no part is refused.
    assert!(stack.run("deploy/bin/stack", &["up"]).failed().contains("is up"));
    assert!(stack.run("deploy/bin/stack", &["start", "api-9"]).failed().contains("is no part"));

    let ids: Vec<String> = parts.iter().map(|part| stack.process(part)).collect();
    stack.run("deploy/bin/stack", &["down"]).succeeded();
    for (part, id) in parts.iter().zip(ids) {
        assert!(!runs(&id), "{part} still runs as {id}");
    }
    // What was stored is there after the next start.
    stack.run("deploy/bin/stack", &["up"]).succeeded();
    stack.client(2).login(&account.email).await;
}

/// Whether a process is there and has not ended. One that has ended stays listed until its parent looks.
pub(crate) fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

/// What is in the way is said in one sentence, and nothing is left running.
pub(crate) async fn says_what_is_in_its_way() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let up = |name: &str, value: &str| {
        let mut command = script::command("deploy/bin/stack", &["up"]);
        script::run(command.env("STACK", folder.path().join("stack")).env(name, value)).failed()
    };
    assert_eq!(
        up("STACK_REDIS_PORT", &port),
        format!("port {port} is taken: stop what listens there, or choose another with STACK_REDIS_PORT=...")
    );
    assert!(up("STACK_API_1_PORT", "80000").contains("is not a port"));
    assert!(up("STACK_PROFILE", "nothing").contains("build it first"));
    assert!(!folder.path().join("stack").exists(), "a refused start leaves nothing");
    let mut without = script::command("deploy/bin/stack", &["status"]);
    let said = script::run(without.env("STACK", folder.path().join("stack"))).failed();
    assert!(said.starts_with("there is no stack in"), "{said}");
}
