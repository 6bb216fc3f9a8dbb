//! Load tests: `deploy/bin/load` loads what it was told to load and nothing else, fails when it should, and leaves nothing
//! behind.

use std::{fs, net::TcpListener, path::Path, process::Command, time::Duration};

use todo_tests::{
    process::{Process, Signal},
    wait::eventually,
};

use crate::{
    script,
    service::{self, Stack},
};

const LOAD: &str = "deploy/bin/load";

/// A short form that is over in ten seconds.
fn small(command: &mut Command) -> &mut Command {
    command.envs([("SCALE", "0.01"), ("LOAD_USERS", "6")])
}

/// Both scripts find a good service good, delete the accounts that they make, and say what the run cost. A limit that is
/// missed, and a service whose API is gone, are failures that are named.
pub(crate) async fn good_is_told_from_bad() {
    let stack = Stack::up();
    let said = stack.run(LOAD, &["smoke"]).succeeded();
    let result = said.lines().last().unwrap_or_default();
    assert!(result.starts_with("load: passed, ") && result.ends_with(" 0 errors"), "{said}");
    assert!(said.contains("| PATCH /v1/todos/{id} "), "{said}");

    let output = stack.path("load");
    let said = script::run(small(&mut stack.command(LOAD, &["short"])).env("LOAD_OUTPUT", &output)).succeeded();
    for part in ["gateway-2", "api-3", "postgres", "k6"] {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("| {part} ")))
            .unwrap_or_else(|| panic!("no {part}: {said}"));
        let seconds = line.split('|').nth(2).expect("a column").trim();
        assert!(seconds.parse::<f64>().is_ok(), "{line}");
    }
    let report = fs::read_to_string(output.join("report.md")).expect("the report");
    for title in ["## Result of ", "### Requests", "### What it took"] {
        assert!(report.contains(title), "{report}");
    }
    assert_eq!(stack.query("SELECT count(*) FROM users"), "0", "accounts are left");

    let slow = script::run(stack.command(LOAD, &["smoke"]).env("LOAD_P95", "0.1")).failed();
    assert!(slow.starts_with("load: failed: p95 of all is ") && slow.contains("the limit 0.1 ms"), "{slow}");

    for replica in ["api-1", "api-2", "api-3"] {
        stack.run("deploy/bin/stack", &["stop", replica]).succeeded();
    }
    let said = stack.run(LOAD, &["smoke"]);
    assert!(said.err.contains("error: GET /: 502 upstream_unreachable instead of 200"), "{}", said.err);
    assert!(said.failed().contains("2 errors"));
    let said = script::run(small(&mut stack.command(LOAD, &["short"])).env("LOAD_OUTPUT", stack.path("load")));
    assert!(said.err.contains("error: POST /v1/auth/register: 502 upstream_unreachable"), "{}", said.err);
    assert!(said.failed().starts_with("load: failed: 1 error; the load never began"));
}

/// Whoever is told to load the wrong thing, or nothing, says so in one sentence before anything happens.
pub(crate) async fn what_makes_no_sense_is_refused() {
    let (folder, output) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let refused = |variables: &[(&str, &str)], form: &str| {
        let mut command = script::command(LOAD, &[form]);
        command.env("TMPDIR", folder.path()).env("LOAD_OUTPUT", output.path());
        script::run(command.envs(variables.iter().copied())).failed()
    };
    let silent = format!("http://ip6-localhost:{port}");
    let cases: [(&[(&str, &str)], &str); 13] = [
        (&[("SCALE", "abc")], "SCALE=abc is not a number from 0.01 to 10"),
        (&[("SCALE", "0")], "SCALE=0 is not a number from 0.01 to 10"),
        (&[("LOAD_USERS", "-1")], "LOAD_USERS=-1 is not a number from 1 to 10000"),
        (&[("LOAD_P95", "fast")], "LOAD_P95=fast is not a number from 0.001 to 60000"),
        (&[("STACK", "/nowhere")], "there is no stack in /nowhere"),
        (&[("STACK", "/nowhere"), ("LOAD_URLS", &silent)], "LOAD_URLS and STACK both say what is loaded"),
        (&[("LOAD_URLS", "localhost:8443")], "'localhost:8443' in LOAD_URLS is not the address of a gateway"),
        (
            &[("LOAD_URLS", "https://localhost@example.org")],
            "'https://localhost@example.org' in LOAD_URLS is not the address",
        ),
        (&[("LOAD_URLS", "https://127.0.0.1.example.org")], "127.0.0.1.example.org is not this machine"),
        (&[("LOAD_URLS", "https://example.org"), ("LOAD_ALLOW", "example")], "example.org is not this machine"),
        (&[("LOAD_URLS", &silent)], "ip6-localhost is not this machine"),
        (&[("LOAD_URLS", &silent), ("LOAD_ALLOW", "ip6-localhost")], "does not answer"),
        (&[("LOAD_URLS", "https://localhost"), ("LOAD_CA", "/nowhere")], "LOAD_CA=/nowhere cannot be read"),
    ];
    for (variables, expected) in cases {
        let said = refused(variables, "short");
        assert!(said.contains(expected), "{variables:?}: {said}");
    }
    assert!(refused(&[], "long").starts_with("'long' is not a form of the load test"));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "something was made");

    // A copy of the project without its tools.
    let copy = tempfile::tempdir().expect("a folder");
    script::run(Command::new("cp").arg("-r").arg(script::root().join("deploy")).arg(copy.path())).succeeded();
    let said = script::run(&mut Command::new(copy.path().join(LOAD))).failed();
    assert_eq!(said, "k6 is missing: make tools installs it into target/tools");
}

/// Stopped half way, it takes everything that it started with it.
pub(crate) async fn stopped_half_way_it_leaves_nothing() {
    let (folder, output) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // Its stack's database runs as another user, who has to come through.
    script::run(Command::new("chmod").arg("711").arg(folder.path())).succeeded();
    let mut command = script::command(LOAD, &["short"]);
    command.envs([("STACK_PROFILE", "debug"), ("SCALE", "1"), ("LOAD_USERS", "4")]);
    command.env("TMPDIR", folder.path()).env("LOAD_OUTPUT", output.path());
    let mut load = Process::start("load", output.path(), &mut command).expect("it starts");
    eventually("the ramp to begin", Duration::from_mins(5), async || {
        assert!(load.ended().is_none(), "it ended: {}", load.errors());
        load.errors().contains("the ramp to 4 users").then_some(())
    })
    .await;
    assert!(!processes_of(folder.path()).is_empty(), "the stack and k6 run");
    let status = load.stop(Signal::Terminate).await;
    assert_eq!(status.code(), Some(143), "{}", load.errors());
    assert_eq!(processes_of(folder.path()), [""; 0], "still there");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "the stack's folder is left");
}

/// The processes that name a folder in their arguments or environment, as k6 and every part of a stack do.
pub(crate) fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("text");
    let names_it = |process: &Path, file: &str| {
        fs::read(process.join(file)).is_ok_and(|octets| String::from_utf8_lossy(&octets).contains(folder))
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    processes
        .filter(|process| names_it(process, "cmdline") || names_it(process, "environ"))
        .filter(|process| process.file_name().and_then(|id| id.to_str()).is_some_and(service::runs))
        .map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default())
        .collect()
}
