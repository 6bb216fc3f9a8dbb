//! The backup's pod, without a cluster: its scripts as Kubernetes mounts them, run by a user that has no name and cannot
//! write them, on a real database.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use crate::{
    manifests::{Manifests, Pod, list, text},
    script,
    service::Stack,
};

pub(crate) async fn the_backup_is_made_by_what_is_mounted() {
    let stack = Stack::up();
    let manifests = Manifests::of("production");
    let pod = manifests.pod("backup");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    mount_scripts(&manifests, pod, root);
    for path in ["run/secrets", "var/backups/todo", "tmp"] {
        fs::create_dir_all(root.join(path)).expect("made");
    }
    let url = fs::read_to_string(stack.setting("STACK_DATABASE_URL_FILE")).expect("the URL");
    let authority = root.join("run/secrets/database-ca");
    fs::copy(stack.setting("STACK_CA"), &authority).expect("the authority");
    let url = url.replace(stack.setting("STACK_CA"), authority.to_str().expect("a path"));
    fs::write(root.join("run/secrets/database-url"), url).expect("written");
    if script::is_root() {
        for path in ["", "run/secrets/database-ca", "run/secrets/database-url", "var/backups/todo", "tmp"] {
            std::os::unix::fs::chown(root.join(path), Some(65532), Some(65532)).expect("given away");
        }
    }

    let command = text(&pod.container()["command"][0]);
    let said = script::run(&mut inside(root, pod, &[command])).succeeded();
    let name = said.lines().last().and_then(|line| line.strip_prefix("backup: ")?.split(',').next()).expect("a name");
    let restore = command.replace("/backup/backup", "/backup/restore");
    let dump = format!("/var/backups/todo/{name}");
    script::run(&mut inside(root, pod, &[&restore, "--verify", &dump])).succeeded();
}

/// A volume of a `ConfigMap`: the files lie beside, and a link leads to them.
fn mount_scripts(manifests: &Manifests, pod: Pod<'_>, root: &Path) {
    let volume =
        list(&pod.template["spec"]["volumes"]).find(|volume| volume["name"] == "scripts").expect("the scripts");
    let mode = u32::try_from(volume["configMap"]["defaultMode"].as_u64().expect("a mode")).expect("a mode");
    let scripts = &manifests.one("ConfigMap", "backup")["data"];
    let mounted = root.join("opt/todo");
    for item in list(&volume["configMap"]["items"]) {
        let path = mounted.join("..data").join(text(&item["path"]));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text(&scripts[text(&item["key"])])).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    symlink("..data/deploy", mounted.join("deploy")).expect("linked");
}

/// A command with the container's variables; paths of the container are in `root`.
fn inside(root: &Path, pod: Pod<'_>, arguments: &[&str]) -> Command {
    let moved = |value: &str| match value.strip_prefix('/') {
        Some(path) => root.join(path).display().to_string(),
        None => value.to_owned(),
    };
    let mut command = Command::new("env");
    if script::is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups"]);
    }
    command.args(arguments.iter().map(|argument| moved(argument)));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", root.join("tmp"));
    command.envs(pod.variables().iter().map(|(name, value)| (name, moved(value))));
    command.current_dir("/");
    command
}
