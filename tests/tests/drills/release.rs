//! What may become a release, and that the check of the workflows sees what it is there for.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::script::{self, Said};

const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n## 1.4.0 - 2026-11-24\n\n### Added\n- Sharing.\n\n## 1.3.0 - 2026-10-01\n\n- Older.\n";

/// A project that has what a release is checked against, and the scripts.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().expect("a folder"));
        for file in ["deploy/bin/check-release", "deploy/bin/lib/common.sh"] {
            fs::create_dir_all(project.path(file).parent().expect("a folder")).expect("a folder");
            fs::copy(script::root().join(file), project.path(file)).expect("a copy");
        }
        project.write(
            "Cargo.toml",
            "[workspace.package]\nversion = \"1.4.0\"\nedition = \"2024\"\n\n[profile.dev]\nversion = \"9\"\n",
        );
        project.write(
            "deploy/helm/todo-platform/Chart.yaml",
            "name: todo-platform\nversion: 1.4.0\nappVersion: \"1.4.0\"\n",
        );
        project.write("CHANGELOG.md", CHANGELOG);
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().expect("a folder")).expect("a folder");
        fs::write(self.path(file), text).expect("a file");
    }

    fn check(&self, arguments: &[&str]) -> Said {
        script::run(Command::new(self.path("deploy/bin/check-release")).args(arguments))
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=drill", "-c", "user.email=drill@example.org", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        script::run(git.arg("-C").arg(self.0.path()).args(identity).args(arguments)).succeeded();
    }
}

/// Tag, Cargo.toml, chart and change log agree, and the notes are the version's section; each disagreement is one sentence.
pub(crate) async fn is_what_the_change_log_tells() {
    let project = Project::new();
    let notes = project.path("notes.md");
    project.check(&["--notes", notes.to_str().expect("a path"), "v1.4.0"]).succeeded();
    assert_eq!(fs::read_to_string(&notes).expect("notes"), "### Added\n- Sharing.\n");

    for tag in ["1.4.0", "v1.4", "v01.4.0", "v1.4.0-", "v1.4.0+build", "v1.4.0\nv1.4.0", "latest"] {
        let said = project.check(&[tag]).failed();
        assert!(said.ends_with("is no version: name it like v1.4.0 or v1.4.0-rc.1"), "{said}");
    }
    let said = project.check(&["v1.5.0"]).failed();
    assert!(said.starts_with("Cargo.toml says version '1.4.0', the tag says 1.5.0"), "{said}");

    let refused = |file: &str, text: &str, sentence: &str| {
        let project = Project::new();
        project.write(file, text);
        let said = project.check(&["v1.4.0"]);
        assert!(said.err.trim_end().lines().count() == 1 && said.err.contains(sentence), "{said:?}");
    };
    let chart = "deploy/helm/todo-platform/Chart.yaml";
    refused(chart, "version: 1.3.0\nappVersion: 1.4.0\n", "Chart.yaml, version: says version '1.3.0'");
    refused(chart, "version: 1.4.0\nappVersion: 1.3.0\n", "Chart.yaml, appVersion: says version '1.3.0'");
    refused(
        "CHANGELOG.md",
        "# Changelog\n\n## 1.3.0 - 2026-10-01\n- Old.\n",
        "CHANGELOG.md has no section '## 1.4.0 - ",
    );
    // A dot of the version is a dot.
    refused("CHANGELOG.md", "## 1x4.0 - 2026-10-01\n- Old.\n", "has no section");
    refused("CHANGELOG.md", "## 1.4.0\n- New.\n", "'## 1.4.0' should be '## 1.4.0 - ");
    refused(
        "CHANGELOG.md",
        "## 1.4.0 - 2026-11-24\n\n## 1.3.0 - 2026-10-01\n- Old.\n",
        "says nothing under '## 1.4.0 - 2026-11-24'",
    );
    let untold = CHANGELOG.replace("## Unreleased\n", "## Unreleased\n- Forgotten.\n");
    refused("CHANGELOG.md", &untold, "has entries under Unreleased");
}

/// Only a commit that was merged becomes a release.
pub(crate) async fn is_made_of_merged_commits() {
    let project = Project::new();
    project.git(&["init", "--quiet", "--initial-branch", "main"]);
    project.git(&["add", "."]);
    project.git(&["commit", "--quiet", "--message", "Merged"]);
    project.git(&["checkout", "--quiet", "-b", "change"]);
    project.check(&["--merged-into", "main", "v1.4.0"]).succeeded();
    project.git(&["commit", "--quiet", "--allow-empty", "--message", "Not merged"]);
    let said = project.check(&["--merged-into", "main", "v1.4.0"]).failed();
    assert!(said.contains("is not part of main"), "{said}");
    let said = project.check(&["--merged-into", "origin/main", "v1.4.0"]).failed();
    assert!(said.starts_with("there is no 'origin/main'"), "{said}");
}

/// The workflows as they are pass; each change that would weaken them is found.
pub(crate) async fn check_of_the_workflows_finds_what_is_wrong() {
    let sound = fs::read_to_string(script::root().join(".github/workflows/ci.yml")).expect("ci.yml");
    let check = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join(".github/workflows")).expect("a folder");
        fs::write(folder.path().join(".github/workflows/ci.yml"), text).expect("a workflow");
        let mut command = script::command("deploy/bin/check-workflows", &[]);
        script::run(command.arg(folder.path().join(".github")).env_remove("GH_TOKEN"))
    };
    check(&sound).succeeded();

    // What is changed into what, and by which words it is found; several at once, for a check takes seconds.
    let found = |changes: &[(&str, &str, &str)]| {
        let mut text = sound.clone();
        for (from, to, _) in changes {
            assert!(text.contains(from), "ci.yml has no {from:?}");
            text = text.replacen(from, to, 1);
        }
        let said = check(&text);
        for (_, to, by) in changes {
            assert!(said.err.contains(by), "{to:?} was not found: {said:?}");
        }
        assert!(said.failed().starts_with("check-workflows: see above ("), "the last line is the result");
    };
    found(&[
        ("persist-credentials: false", "persist-credentials: true", "artipacked"),
        ("github.event_name == 'pull_request' }}", "github.even_name == 'pull_request' }}", "is not defined"),
        ("permissions: {}\n", "", "says no `permissions: {}`"),
        ("    timeout-minutes: 90\n", "", "has no `timeout-minutes`"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-latest", "runs on ubuntu-latest"),
        ("    shell: bash\n", "    shell: sh\n", "says no `shell: bash`"),
        ("run: make test", "run: make tests && make demo", "the Makefile has no target tests"),
        ("make demo", "deploy/bin/launch && make demo", "there is no deploy/bin/launch"),
        ("make demo", "echo $HOME", "SC2086"),
        ("90b1 # v7.0.1", "90b1 # v7", "is not pinned as"),
    ]);
    found(&[
        ("run: make test", "run: make test ${{ github.sha }}", "pastes `${{ }}` into its script"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7.0.1", "unpinned-uses"),
        (
            "      - name: Install",
            "      - {name: One more, uses: actions/checkout@v7.0.1}\n      - name: Install",
            "does not begin its line",
        ),
    ]);
}
