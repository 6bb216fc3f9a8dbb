//! A running image: by Docker where it built them; elsewhere by an OCI runtime that is called the way an engine calls it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use todo_tests::process::Process;

use super::engine::{Images, program};
use crate::script::{self, Said};

/// An OCI runtime with an image's files at `<bundle>/rootfs`. In a mount namespace of its own, so that nothing stays
/// mounted. Where the kernel shows both versions of control groups the runtime refuses to start; it is shown one, and
/// told to make no group. So limits are all that is missing here of what an engine does to a container; its network is
/// the machine's, as with `docker run --network host`.
const RUNTIME: &str = r#"
bundle=$1 container=$2
shift 2
if [ -d /sys/fs/cgroup/unified ]; then mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; fi
if [ -n "$container" ]; then
    files=$(buildah --root target/images/storage --runroot target/images/run mount "$container")
    mount --bind "$files" "$bundle/rootfs"
fi
exec crun --root "$bundle/state" --cgroup-manager disabled "$@"
"#;

/// How an image is to be run. The user, the program and what it is called with are the image's own affair.
#[derive(Debug, Default)]
pub(super) struct Container {
    /// Its environment, over the image's.
    pub(super) variables: BTreeMap<String, String>,
    /// Files and folders of this machine that it may read, by the path it finds them at.
    pub(super) mounts: BTreeMap<String, PathBuf>,
    /// What its program is called with; empty for what the image says.
    pub(super) arguments: Vec<String>,
}

/// A container that runs, with a root that cannot be written and without any privilege.
#[derive(Debug)]
pub(super) struct Running<'images> {
    images: &'images Images,
    process: Process,
    name: String,
    /// What the image says it should be run as.
    configuration: Value,
    /// buildah's name for the files of the container.
    files: String,
    bundle: TempDir,
}

impl Container {
    /// Starts it.
    pub(super) fn start<'images>(&self, images: &'images Images, tier: &str) -> Running<'images> {
        let bundle = tempfile::tempdir().expect("a folder");
        let name = bundle.path().file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
        let image = images.name(tier);
        let configuration = images.configuration(&image);
        let (mut command, files) = if images.docker {
            (self.docker(&name, &image), String::new())
        } else {
            let files = images.engine(&["from", "--pull-never", &image]).succeeded().trim().to_owned();
            fs::create_dir(bundle.path().join("rootfs")).expect("a folder");
            let specification = self.specification(&configuration).to_string();
            fs::write(bundle.path().join("config.json"), specification).expect("written");
            let arguments = ["run", "--bundle", bundle.path().to_str().expect("a path"), &name];
            (runtime(bundle.path(), &files, &arguments), files)
        };
        let process = Process::start("container", bundle.path(), &mut command).expect("started");
        Running { images, process, name, configuration, files, bundle }
    }

    fn docker(&self, name: &str, image: &str) -> Command {
        let mut command = program("docker", &["run", "--rm", "--name", name, "--network", "host"]);
        command.args(["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        for (variable, value) in &self.variables {
            // Docker takes the value from its own environment: arguments stand in the list of processes.
            command.args(["--env", variable]).env(variable, value);
        }
        for (inside, outside) in &self.mounts {
            command.arg("--volume").arg(format!("{}:{inside}:ro", outside.display()));
        }
        command.arg(image).args(&self.arguments);
        command
    }

    /// What an engine would tell the runtime.
    fn specification(&self, image: &Value) -> Value {
        let list = |name: &str| {
            let values = image[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let user = image["User"].as_str().expect("a user");
        let (user, group) = user.split_once(':').expect("a user and a group");
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let mut arguments = list("Entrypoint");
        arguments.extend(if self.arguments.is_empty() { list("Cmd") } else { self.arguments.clone() });
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let read = |inside: &str, outside: &Path| json!({ "destination": inside, "source": outside, "type": "bind", "options": ["bind", "ro", "nosuid", "nodev"] });
        let mut mounts = vec![
            json!({ "destination": "/proc", "source": "proc", "type": "proc" }),
            json!({ "destination": "/dev", "source": "tmpfs", "type": "tmpfs", "options": ["nosuid", "size=64k", "mode=755"] }),
            // An engine writes these two for every container.
            read("/etc/hosts", Path::new("/etc/hosts")),
            read("/etc/resolv.conf", Path::new("/etc/resolv.conf")),
        ];
        mounts.extend(self.mounts.iter().map(|(inside, outside)| read(inside, outside)));
        json!({
            "ociVersion": "1.0.0",
            "root": { "path": "rootfs", "readonly": true },
            "process": {
                "terminal": false,
                "cwd": "/",
                "user": { "uid": number(user), "gid": number(group) },
                "args": arguments,
                "env": list("Env").into_iter().chain(variables).collect::<Vec<_>>(),
                "capabilities": { "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": [] },
                "noNewPrivileges": true,
            },
            "mounts": mounts,
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }] },
        })
    }
}

/// The OCI runtime, for one container.
fn runtime(bundle: &Path, files: &str, arguments: &[&str]) -> Command {
    let mut command = program("unshare", &["--mount", "bash", "-ec", RUNTIME, "bash"]);
    command.arg(bundle).arg(files).args(arguments);
    command
}

impl Running<'_> {
    /// Runs a command inside.
    pub(super) fn inside(&self, arguments: &[&str]) -> Said {
        // An engine names the image's user to the runtime.
        let options: &[_] = if self.images.docker { &["exec"] } else { &["exec", "--user", self.text("User")] };
        script::run(&mut self.runtime_or_docker(&[options, &[&self.name], arguments].concat()))
    }

    fn text(&self, name: &str) -> &str {
        self.configuration[name].as_str().unwrap_or_else(|| panic!("the image says nothing about {name}"))
    }

    fn runtime_or_docker(&self, arguments: &[&str]) -> Command {
        if self.images.docker { program("docker", arguments) } else { runtime(self.bundle.path(), "", arguments) }
    }

    /// The id of its first process, outside.
    pub(super) fn process(&self) -> String {
        let (arguments, path): (&[_], _) = if self.images.docker {
            (&["inspect", "--format", "{\"pid\":{{.State.Pid}}}"], "/pid")
        } else {
            (&["state"], "/pid")
        };
        let text = script::run(&mut self.runtime_or_docker(&[arguments, &[&self.name]].concat())).succeeded();
        serde_json::from_str::<Value>(&text).expect("JSON").pointer(path).expect("an id").to_string()
    }

    /// Runs the health check that the image names.
    pub(super) fn check(&self) -> Said {
        let words = self.configuration["Healthcheck"]["Test"].as_array().expect("a health check");
        self.inside(&words.iter().skip(1).filter_map(Value::as_str).collect::<Vec<_>>())
    }

    /// Asks it to stop, as an engine would, and waits until it has.
    pub(super) async fn stop(&mut self, patience: Duration) -> ExitStatus {
        script::run(&mut self.runtime_or_docker(&self.kill(self.text("StopSignal")))).succeeded();
        self.process.wait(patience).await
    }

    fn kill<'a>(&'a self, signal: &'a str) -> Vec<&'a str> {
        if self.images.docker { vec!["kill", "--signal", signal, &self.name] } else { vec!["kill", &self.name, signal] }
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        self.process.wait(Duration::from_secs(30)).await
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// What it has written.
    pub(super) fn words(&self) -> String {
        fs::read_to_string(&self.process.stdout).unwrap_or_default() + &self.process.errors()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Killing the client of the engine, or the runtime's watcher, would leave the container.
        if self.runs() {
            script::run(&mut self.runtime_or_docker(&self.kill("SIGKILL")));
        }
        if !self.images.docker {
            script::run(&mut self.runtime_or_docker(&["delete", "--force", &self.name]));
            self.images.engine(&["rm", &self.files]);
        }
    }
}
