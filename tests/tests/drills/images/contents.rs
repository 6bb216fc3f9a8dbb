//! What is in the images and what is not; that the check of it can fail; what is said when they cannot be built.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use super::engine::Images;
use crate::{
    copy::Copy,
    script::{self, Said},
};

/// What an operator or a developer keeps in the tree and nobody else may see.
const PRIVATE: [&str; 14] = [
    ".env",
    ".env.production",
    ".git/config",
    "api/.env",
    "api/src/.env.local",
    "api/key.pem",
    "config/production/.env",
    "config/production/tls.key",
    "deploy/compose/secrets/key-ring",
    "gateway/src/leaf.pem",
    "notes.txt",
    "target/debug/todo-api",
    "tests/tests/blackbox/data/dump.sql",
    "var/tls/ca-key.pem",
];

/// What has to be seen for anything to be built.
const NEEDED: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "api/Cargo.toml",
    "api/src/main.rs",
    "config/production/api.toml",
    "deploy/docker/assemble",
    "migrations/postgres/0001_base.sql",
    "tests/tests/blackbox/main.rs",
];

/// A build sees what it needs and nothing that is private, wherever in the tree that stands.
pub(crate) async fn nothing_private_reaches_a_build() {
    let (tree, seen) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let write = |name: &str, text: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    for name in PRIVATE.iter().chain(&NEEDED) {
        write(name, "canary");
    }
    write("Dockerfile", "FROM scratch\nCOPY . /\n");
    fs::copy(script::root().join(".dockerignore"), tree.path().join(".dockerignore")).expect("copied");
    let output = format!("type=local,dest={}", seen.path().display());
    let context = tree.path().to_str().expect("a path");
    let file = format!("{context}/Dockerfile");
    Images::built().build(&["--file", &file, "--output", &output, context]).succeeded();
    let mut found = Vec::new();
    files(seen.path(), seen.path(), &mut found);
    found.sort();
    assert_eq!(found, NEEDED);
}

/// The files below a folder, by their path from `root`.
fn files(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).expect("below").display().to_string());
        }
    }
}

/// Each way in which an image can be wrong, what is done to a good one, and what the check says of it.
const WRONG: [(&str, &str); 9] = [
    ("USER root", "the user is 'root'"),
    ("USER todo", "the user is 'todo'"),
    ("COPY shell /bin/sh", "bin/sh is in a layer"),
    // It is covered by the next layer, and anybody who has the image can read it.
    ("COPY private-key /etc/passwd\nCOPY group /etc/passwd", "a private key is in a layer"),
    ("COPY large /etc/group", "MB and has to have less than 100 MB"),
    ("COPY --chmod=0666 group /etc/group", "may be written by others"),
    (
        "ENV TODO_API__DATABASE__URL=postgres://todo:canary@localhost/todo",
        "TODO_API__DATABASE__URL=, and secrets come as files",
    ),
    ("ENV TODO_ENVIRONMENT=development", "the environment is"),
    ("HEALTHCHECK NONE", "the health check is"),
];

/// The check finds nothing wrong with the images that were built, and everything in images that were spoilt.
pub(crate) async fn what_is_wrong_with_an_image_is_seen() {
    let images = Images::built();
    let check = |image: &str| script::run(&mut script::command("deploy/bin/check-images", &[image]));
    check(&images.name("todo-api")).succeeded();
    check(&images.name("todo-gateway")).succeeded();

    let context = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(context.path().join(name), text).expect("written");
    write("shell", "#!");
    write("group", "todo:x:65532:\n");
    // No key: only what one looks like.
    write("private-key", &format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "A".repeat(64)));
    let large = fs::File::create(context.path().join("large")).expect("made");
    large.set_len(101_000_000).expect("large");
    let folder = context.path().to_str().expect("a path");
    let (file, image) = (format!("{folder}/Dockerfile"), "todo-api:spoilt");
    for (done, said) in WRONG {
        fs::write(&file, format!("FROM {}\n{done}\n", images.name("todo-api"))).expect("written");
        images.build(&["--file", &file, "--tag", image, folder]).succeeded();
        let found = check(image);
        assert!(found.code != 0 && found.err.contains(said), "{done}: {found:?}");
    }
    images.forget(image);
    assert!(check("todo-api:nowhere").failed().contains("there is no image todo-api:nowhere"));
}

/// What is in the way of building them is said in one sentence.
pub(crate) async fn what_is_in_the_way_is_one_sentence() {
    let images = Images::built();
    let build = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = script::command("deploy/bin/images", arguments);
        command.env("ENGINE", images.engine_name()).env("PROGRAMS", "target/debug").envs(variables.iter().copied());
        one_sentence(script::run(&mut command))
    };
    assert_eq!(build(&[("ENGINE", "podman")], &[]), "ENGINE=podman is no engine: use docker or buildah");
    assert!(build(&[], &["--al"]).contains("is no option"));
    assert!(build(&[("PROGRAMS", "nowhere")], &[]).contains("nowhere/todo-api is missing"));
    assert!(build(&[("VERSION", "1.0 ")], &[]).contains("cannot be a tag"));

    // An engine that is named and does not answer; a tool that is not there; a full disk: by a stand-in for the tool,
    // first in PATH.
    let stand_in = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        let path = stand_in.path().join(name);
        fs::write(&path, text).expect("written");
        script::run(Command::new("chmod").arg("755").arg(&path)).succeeded();
    };
    let stand_ins = stand_in.path().to_str().expect("a path");
    let path = format!("{stand_ins}:{}", std::env::var("PATH").expect("a path"));
    put("df", "#!/bin/sh\necho Avail\necho 512\n");
    let said = build(&[("PATH", &path)], &[]);
    assert!(said.contains("takes 1 GB and") && said.contains("has 0 GB"), "{said}");
    put("docker", "#!/bin/sh\nexit 1\n");
    let said = build(&[("ENGINE", ""), ("DOCKER_HOST", "unix:///nowhere"), ("PATH", &path)], &[]);
    assert!(said.contains("Docker's engine does not answer"), "{said}");
    for tool in ["bash", "dirname", "env"] {
        let mut link = Command::new("sh");
        link.args(["-c", "ln -s \"$(command -v \"$1\")\" \"$2\"", "sh", tool, stand_ins]);
        script::run(&mut link).succeeded();
    }
    assert_eq!(
        build(&[("ENGINE", "buildah"), ("PATH", stand_ins)], &[]),
        "buildah is missing: apt-get install buildah"
    );

    // A copy, because the project may stand where only root can go.
    let copy = Copy::new();
    fs::set_permissions(copy.path("."), fs::Permissions::from_mode(0o755)).expect("open to all");
    let mut command = Command::new("setpriv");
    if script::is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg(copy.path("deploy/bin/images"));
    assert!(one_sentence(script::run(command.env("ENGINE", "buildah"))).contains("as root only"));
}

/// Its complaint, which is all it said.
fn one_sentence(said: Said) -> String {
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    said.failed()
}
