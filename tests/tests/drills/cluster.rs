//! Rolling out to Kubernetes, as far as that can be tried without a cluster: `helm` and `kubectl` are stand-ins that keep
//! revisions as Helm does and write down how they were called. The chart itself is rendered by the real Helm.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::script::{self, Said, root, run};

struct Cluster {
    folder: TempDir,
}

impl Cluster {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let stand_ins = root().join("tests/tests/drills/stand-ins");
        let path = std::env::var("PATH").expect("a path");
        let mut command = script::command(script, &["--target", "kubernetes", "--environment", "staging"]);
        command.args(arguments).env("CLUSTER", self.folder.path());
        command.env("REAL_HELM", root().join("target/tools/bin/helm"));
        command.env("PATH", format!("{}:{path}", stand_ins.display()));
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Said {
        run(&mut self.command(script, arguments))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// Forwards, a version that fails, back by itself, back by hand, to a named version, after a cut.
pub(crate) async fn rolls_out_and_back() {
    let cluster = Cluster::new();
    let said = cluster.run("deploy/bin/deploy", &["1.0.0"]).succeeded();
    assert!(said.lines().last().is_some_and(|line| line.starts_with("deploy: 1.0.0 serves after ")), "{said}");
    let calls = cluster.read("calls");
    let upgrade = calls.lines().find(|line| line.contains(" upgrade ")).expect("an upgrade");
    for word in ["--namespace todo-staging", "values-staging.yaml", "image.tag=1.0.0", "--wait", "--timeout 15m"] {
        assert!(upgrade.contains(word), "no {word} in {upgrade}");
    }
    let mut elsewhere = cluster.command("deploy/bin/deploy", &["1.1.0"]);
    elsewhere.env("GITHUB_OUTPUT", cluster.folder.path().join("output"));
    run(elsewhere.env("IMAGE_REGISTRY", "registry.example.org/todo")).succeeded();
    assert_eq!(cluster.read("output"), "before=1.0.0\n");
    assert!(cluster.read("calls").contains("image.tag=1.1.0 --set-string image.registry=registry.example.org/todo "));

    // The same version again takes changed values along.
    let upgrades = || cluster.read("calls").matches(" upgrade ").count();
    let before = upgrades();
    cluster.run("deploy/bin/deploy", &["1.1.0"]).succeeded();
    assert_eq!(upgrades(), before + 1);

    // Somebody else's roll-out has begun between the look and the upgrade.
    cluster.write("taken", "");
    let output = cluster.folder.path().join("taken-output");
    let said = run(cluster.command("deploy/bin/deploy", &["1.2.0"]).env("GITHUB_OUTPUT", &output)).failed();
    assert!(said.starts_with("deploy: another roll-out works here"), "{said}");
    assert!(!cluster.read("calls").contains(" rollback "), "what is somebody else's is not taken back");
    assert!(cluster.read("taken-output").ends_with("before=\n"), "nor by the pipeline");
    fs::remove_file(cluster.folder.path().join("taken")).expect("removed");

    cluster.write("broken", "1.2.0");
    let said = cluster.run("deploy/bin/deploy", &["1.2.0"]).failed();
    assert!(said.starts_with("deploy: 1.2.0 did not become ready, 1.1.0 serves again after "), "{said}");
    assert!(cluster.read("revisions").ends_with(" deployed 1.1.0 3\n"), "{}", cluster.read("revisions"));

    let said = cluster.run("deploy/bin/rollback", &[]).succeeded();
    assert!(said.contains("rollback: 1.0.0 serves after "), "{said}");
    let said = cluster.run("deploy/bin/rollback", &[]).failed();
    assert!(said.starts_with("no version served before"), "going back twice leads to 1.1.0: {said}");
    let said = cluster.run("deploy/bin/rollback", &["1.1.0"]).succeeded();
    assert!(said.contains("rollback: 1.1.0 serves after "), "{said}");
    assert!(cluster.run("deploy/bin/rollback", &["0.9.0"]).failed().contains("had the version 0.9.0"));

    // Helm was killed half way.
    let revisions = cluster.read("revisions");
    cluster.write("revisions", &format!("{revisions}99 pending-upgrade 1.3.0\n"));
    let said = cluster.run("deploy/bin/deploy", &["1.4.0"]).failed();
    assert!(said.starts_with("a roll-out was cut off (pending-upgrade): finish it with deploy/bin/rollback"), "{said}");
    let said = cluster.run("deploy/bin/rollback", &[]).succeeded();
    assert!(said.contains("rollback: 1.1.0 serves after "), "{said}");
}

/// What is missing or misspelt ends before anything is called that changes something.
pub(crate) async fn what_cannot_be_rolled_out_is_refused() {
    let cluster = Cluster::new();
    let mut without = script::command("deploy/bin/deploy", &["--target", "kubernetes", "1.0.0"]);
    assert!(run(&mut without).failed().contains("needs --environment"));
    assert!(cluster.run("deploy/bin/deploy", &[]).failed().starts_with("which version?"));
    assert!(cluster.run("deploy/bin/deploy", &["a b"]).failed().contains("is no version"));
    let mut alone = cluster.command("deploy/bin/deploy", &["1.0.0"]);
    // Nothing answers at the address of the real kubectl's default context.
    alone.env("PATH", std::env::var("PATH").expect("a path")).env("KUBECONFIG", "/dev/null");
    assert!(run(&mut alone).failed().contains("does not answer"));
    assert!(!cluster.read("calls").contains("upgrade"));
}

/// A tier that is not complete is named.
pub(crate) async fn the_check_counts_processes() {
    let cluster = Cluster::new();
    let said = cluster.run("deploy/bin/health-check", &[]).succeeded();
    assert!(said.contains("3 of 3 are ready and of this version"), "{said}");
    cluster.write("unready", "todo-platform-gateway");
    let said = cluster.run("deploy/bin/health-check", &[]);
    assert!(said.out.contains("2 of 3 are ready"), "{}", said.out);
    assert_eq!(said.failed(), "health-check: not well: gateway");
}
