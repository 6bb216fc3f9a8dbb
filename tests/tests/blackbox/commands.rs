//! What a newcomer types first: `make run` brings everything up, stops cleanly, and says in one sentence what is in its way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::json;
use todo_tests::{
    client::{Client, PASSWORD},
    ports,
    process::{Process, Signal},
    wait::eventually,
};

use crate::service::Services;

const PORTS: [&str; 5] = ["HTTPS_PORT", "HTTP_PORT", "API_PORT", "ADMIN_PORT", "API_ADMIN_PORT"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// `deploy/bin/run`, which is all that `make run` calls, on free ports; make itself would turn its exit code into 2.
fn run(var: &Path) -> (Command, [u16; 5]) {
    let ports = PORTS.map(|_| ports::free().unwrap());
    // A shell cannot trap a signal that was ignored when it began, and whoever runs these tests in the background has
    // SIGINT ignored; a person at a terminal has not.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(root().join("deploy/bin/run"));
    command.env("VAR", var).envs(PORTS.iter().zip(ports).map(|(name, port)| (name, port.to_string())));
    (command, ports)
}

fn refusal(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(1), "{stdout}{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr.trim().to_owned()
}

pub(crate) async fn run_brings_everything_up_and_stops_cleanly(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let var = folder.path().join("var");
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let (mut command, [https, _, api, admin, api_admin]) = run(&var);
        let mut process = Process::start("run", folder.path(), &mut command).unwrap();
        let ready = format!("ready https://localhost:{https}");
        let said = eventually("the service to be ready", Duration::from_mins(5), async || {
            let said = fs::read_to_string(&process.stdout).unwrap_or_default();
            said.lines().any(|line| line == ready).then_some(said)
        })
        .await;
        let after = said.lines().skip_while(|line| *line != ready).nth(1).unwrap_or_default().to_owned();
        assert!(
            after.trim_start().starts_with("curl --cacert ") && after.contains(&format!("https://localhost:{https}/")),
            "{said}"
        );
        let client = Client::https(https, &var.join("tls/ca.pem")).unwrap();
        let body = json!({"email": format!("{}@example.org", uuid::Uuid::now_v7()), "password": PASSWORD});
        client.post("/v1/auth/register", &body).await.expect(201);
        for port in [admin, api_admin] {
            Client::http(port).unwrap().get("/readyz").await.expect(200);
        }
        assert!(process.stop(signal).await.success());
        for port in [https, api, admin, api_admin] {
            assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "{port} still answers");
        }
    }
}

pub(crate) async fn run_says_what_is_in_its_way(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let (mut taken, [https, ..]) = run(folder.path());
    let _listener = std::net::TcpListener::bind(("127.0.0.1", https)).unwrap();
    taken.env("HTTPS_PORT", https.to_string());
    let sentence = refusal(taken);
    assert!(sentence.contains(&format!("port {https} is taken")) && sentence.lines().count() == 1, "{sentence}");

    let (unreadable, _) = run(Path::new("/dev/null/var"));
    let sentence = refusal(unreadable);
    assert!(sentence.contains("/dev/null/var") && sentence.lines().count() == 1, "{sentence}");

    let (mut toolless, _) = run(folder.path());
    toolless.env("PATH", "/usr/bin:/bin");
    if !Path::new("/usr/bin/cargo").exists() {
        let sentence = refusal(toolless);
        assert!(sentence.starts_with("cargo is missing") && sentence.lines().count() == 1, "{sentence}");
    }

    let (mut nonsense, _) = run(folder.path());
    nonsense.env("HTTP_PORT", "99999");
    assert!(refusal(nonsense).starts_with("HTTP_PORT=99999 is not a port"));
}

pub(crate) async fn help_lists_every_target(_: &Services) {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let help = Command::new("make").arg("help").current_dir(root()).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let is_target = |name: &&str| {
        !name.is_empty() && name.chars().all(|character| character.is_ascii_lowercase() || character == '-')
    };
    let targets: Vec<_> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).filter(is_target).collect();
    assert!(targets.contains(&"run") && targets.contains(&"test-blackbox"), "{targets:?}");
    for target in targets {
        assert!(help.contains(&format!("make {target} ")), "{target} in:\n{help}");
    }
}
