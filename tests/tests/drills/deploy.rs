//! Rolling out and back: `deploy/bin/{deploy,rollback,smoke,health-check}` on a running stack, with users at work.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use todo_tests::{
    process::{Process, Signal, binaries},
    wait::eventually,
};

use crate::{
    script::{Said, run},
    service::Stack,
    traffic::Traffic,
};

const TIERS: [&str; 5] = ["api-1", "api-2", "api-3", "gateway-1", "gateway-2"];

/// A stack with a second version at hand, which is the same build under another name.
fn stack_with(version: &str) -> Stack {
    let stack = Stack::up();
    let built = binaries().expect("the binaries");
    stack.run("deploy/bin/stack", &["release", version, built.to_str().expect("a path")]).succeeded();
    stack
}

fn deploy(stack: &Stack, version: &str) -> Said {
    run(stack.command("deploy/bin/deploy", &["--target", "stack", version]).env("DEPLOY_READY_TIMEOUT", "10"))
}

/// The check, with room for whatever else this machine has on its disk and in its memory.
fn health_check(stack: &Stack) -> Said {
    let mut command = stack.command("deploy/bin/health-check", &["--target", "stack"]);
    run(command.env("HEALTH_DISK_PERCENT", "100").env("HEALTH_MEMORY_PERCENT", "100"))
}

/// Every process runs this version and is ready.
fn assert_serves(stack: &Stack, version: &str) {
    let table = stack.run("deploy/bin/stack", &["status"]).succeeded();
    for tier in TIERS {
        let line = table.lines().find(|line| line.starts_with(tier)).expect("a line for each part");
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[1], words[3]), ("ready", version), "{line}");
    }
}

/// Every process is replaced, forwards and backwards, and no user notices.
pub(crate) async fn a_good_version_replaces_every_process() {
    let stack = stack_with("next");
    let before = TIERS.map(|tier| stack.process(tier));
    let traffic = Traffic::start(&stack).await;

    let said = deploy(&stack, "next").succeeded();
    assert!(said.lines().last().is_some_and(|line| line.starts_with("deploy: next serves after ")), "{said}");
    assert_serves(&stack, "next");
    for (tier, before) in TIERS.into_iter().zip(before) {
        assert_ne!(stack.process(tier), before, "{tier} is another process");
    }
    health_check(&stack).succeeded();
    stack.run("deploy/bin/smoke", &[stack.setting("STACK_URL"), "--ca", stack.setting("STACK_CA")]).succeeded();
    assert!(deploy(&stack, "next").succeeded().contains("serves already"));

    let said = stack.run("deploy/bin/rollback", &["--target", "stack"]).succeeded();
    assert!(said.contains("rollback: dev serves after "), "{said}");
    assert_serves(&stack, "dev");

    traffic.more(50).await;
    let seen = traffic.end().await;
    assert!(seen.errors.is_empty(), "{} answers and {:#?}", seen.answered, seen.errors);
}

/// A version that never becomes ready is taken back after its first process, and no user notices.
pub(crate) async fn a_version_that_does_not_become_ready_is_taken_back() {
    let stack = stack_with("broken");
    break_release(&stack, "broken");
    let untouched = TIERS[1..].iter().map(|tier| stack.process(tier)).collect::<Vec<_>>();
    let traffic = Traffic::start(&stack).await;

    let said = deploy(&stack, "broken").failed();
    assert!(said.starts_with("deploy: broken did not become ready, dev serves again after "), "{said}");
    assert_serves(&stack, "dev");
    assert_eq!(TIERS[1..].iter().map(|tier| stack.process(tier)).collect::<Vec<_>>(), untouched);
    stack.run("deploy/bin/smoke", &[stack.setting("STACK_URL"), "--ca", stack.setting("STACK_CA")]).succeeded();

    traffic.more(50).await;
    let seen = traffic.end().await;
    assert!(seen.errors.is_empty(), "{} answers and {:#?}", seen.answered, seen.errors);
    // The way is free for the version that mends it.
    let built = binaries().expect("the binaries");
    stack.run("deploy/bin/stack", &["release", "mended", built.to_str().expect("a path")]).succeeded();
    deploy(&stack, "mended").succeeded();
}

/// The fault: this build looks for its database where there is none, so that its readiness never says yes.
fn break_release(stack: &Stack, version: &str) {
    let binary = stack.path(&format!("releases/{version}/todo-api"));
    let real = binary.with_file_name("todo-api.real");
    fs::rename(&binary, &real).expect("renamed");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != run ] || {{ unset TODO_API__DATABASE__URL_FILE; export TODO_API__DATABASE__URL='postgres://todo:none@localhost:1/todo?sslmode=verify-full'; }}\nexec {} \"$@\"\n",
        real.display()
    );
    fs::write(&binary, script).expect("written");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("executable");
}

/// A migration that fails stops the roll-out before anything is replaced. The database is one whose first migration is
/// another than the build's, which is what a branch that was never merged leaves behind.
pub(crate) async fn a_failing_migration_replaces_nothing() {
    let stack = stack_with("next");
    let before = TIERS.map(|tier| stack.process(tier));
    stack.query("UPDATE _sqlx_migrations SET checksum = '\\x00'");
    let traffic = Traffic::start(&stack).await;

    let said = deploy(&stack, "next");
    assert!(said.err.contains("migration"), "{}", said.err);
    assert_eq!(said.failed(), "deploy: the migration of next failed, nothing was replaced and dev serves on");
    assert_eq!(TIERS.map(|tier| stack.process(tier)), before);
    assert_serves(&stack, "dev");
    let seen = traffic.end().await;
    assert!(seen.errors.is_empty(), "{:#?}", seen.errors);
}

/// A roll-out that was killed half way is said to be unfinished, and `rollback` finishes it; two at once exclude each other.
pub(crate) async fn a_roll_out_that_was_cut_off_is_finished_by_rollback() {
    let stack = stack_with("next");
    let logs = tempfile::tempdir().expect("a folder");
    let mut command = stack.command("deploy/bin/deploy", &["--target", "stack", "next"]);
    let mut cut = Process::start("deploy", logs.path(), &mut command).expect("started");
    let marker = stack.path("run/rollout");
    eventually("the roll-out to begin", Duration::from_secs(30), async || marker.exists().then_some(())).await;
    assert!(deploy(&stack, "next").failed().starts_with("another roll-out works on"));
    cut.stop(Signal::Kill).await;

    // A program that it had started may hold the lock for a moment longer.
    let said = eventually("the lock to be free", Duration::from_secs(30), async || {
        let said = deploy(&stack, "next").failed();
        (!said.starts_with("another roll-out")).then_some(said)
    })
    .await;
    assert!(said.starts_with("a roll-out was cut off (dev next): finish it with"), "{said}");
    let said = health_check(&stack);
    assert!(said.out.contains("one was cut off (dev next)"), "{}", said.out);
    assert!(said.failed().contains("rollout"), "the check names it");
    stack.run("deploy/bin/rollback", &["--target", "stack"]).succeeded();
    assert_serves(&stack, "dev");
    deploy(&stack, "next").succeeded();
    assert_serves(&stack, "next");
}

/// What cannot be rolled out is refused in one sentence before anything changes.
pub(crate) async fn what_cannot_be_rolled_out_is_refused() {
    let stack = stack_with("next");
    let before = TIERS.map(|tier| stack.process(tier));
    let refused = |version: &str| deploy(&stack, version).failed();
    assert!(refused("missing").starts_with("release missing is not in"), "an unknown version");
    assert!(refused("../etc").contains("is no version"), "a path");
    assert!(stack.run("deploy/bin/deploy", &["next"]).failed().starts_with("where?"));
    assert!(stack.run("deploy/bin/deploy", &["--target", "moon", "next"]).failed().contains("is no target"));
    assert!(stack.run("deploy/bin/rollback", &["--target", "stack"]).failed().starts_with("no version served before"));

    // A configuration that the new version refuses.
    let file = stack.path("config/gateway-1.toml");
    let good = fs::read_to_string(&file).expect("read");
    fs::write(&file, good.replace("[hosts]\ntrusted", "[hosts]\ntrused")).expect("written");
    let said = refused("next");
    assert!(said.starts_with("next does not accept the configuration of gateway-1: "), "{said}");
    fs::write(&file, good).expect("written");

    assert_eq!(TIERS.map(|tier| stack.process(tier)), before);
    assert_serves(&stack, "dev");

    // Something is broken already: a roll-out would hide which of the two it was.
    stack.run("deploy/bin/stack", &["kill", "api-2"]).succeeded();
    assert!(refused("next").starts_with("api-2 is not ready"));
}

/// Each thing that is broken is named by the check, and the smoke test fails for what users would miss.
pub(crate) async fn checks_name_what_is_broken() {
    let stack = Stack::up();
    let check = || health_check(&stack);
    let smoke = || stack.run("deploy/bin/smoke", &[stack.setting("STACK_URL"), "--ca", stack.setting("STACK_CA")]);
    let said = check().succeeded();
    for what in ["ready", "service", "certificate", "database", "migrations", "redis", "disk", "memory", "rollout"] {
        assert!(said.lines().any(|line| line.trim_start().starts_with(what)), "no {what} in {said}");
    }
    smoke().succeeded();

    stack.run("deploy/bin/stack", &["kill", "redis"]).succeeded();
    assert_eq!(check().failed(), "health-check: not well: redis");
    // Nothing depends on Redis for its answers.
    smoke().succeeded();
    stack.run("deploy/bin/stack", &["start", "redis"]).succeeded();
    check().succeeded();

    let limited = |name: &str, value: &str| {
        let mut command = stack.command("deploy/bin/health-check", &["--target", "stack", "--quiet"]);
        command.env("HEALTH_DISK_PERCENT", "100").env("HEALTH_MEMORY_PERCENT", "100");
        run(command.env(name, value))
    };
    assert_eq!(limited("HEALTH_CERTIFICATE_DAYS", "365").failed(), "health-check: not well: certificate");
    assert_eq!(limited("HEALTH_DISK_PERCENT", "0").failed(), "health-check: not well: disk");
    assert_eq!(limited("HEALTH_MEMORY_PERCENT", "0").failed(), "health-check: not well: memory");
    assert_eq!(limited("HEALTH_SCHEMA", "999").failed(), "health-check: not well: migrations");
    assert_eq!(limited("HEALTH_DISK_PERCENT", "100").succeeded(), "", "what is well is not said when quiet");

    stack.run("deploy/bin/stack", &["kill", "postgres"]).succeeded();
    let said = check().failed();
    assert!(said.contains("database") && said.contains("migrations"), "{said}");
    let said = smoke();
    assert!(said.err.contains("smoke: register: expected 201 and got 503"), "{}", said.err);
    assert_eq!(said.failed(), "smoke: failed");
}
