//! The images that were built last, and what built them.

use std::{fs, process::Command};

use serde_json::Value;

use crate::script::{self, Said};

/// The images that were built last.
#[derive(Debug)]
pub(super) struct Images {
    /// Whether Docker built them; else buildah did.
    pub(super) docker: bool,
    version: String,
}

impl Images {
    /// As `deploy/bin/images` has noted.
    pub(super) fn built() -> Self {
        let text = fs::read_to_string(script::root().join("target/images/built.env")).expect("the images: make images");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line for each");
            line.trim_matches('\'').to_owned()
        };
        Self { docker: value("ENGINE=") == "docker", version: value("VERSION=") }
    }

    /// `todo-api:0.1.0`, for example.
    pub(super) fn name(&self, tier: &str) -> String {
        format!("{tier}:{}", self.version)
    }

    /// `docker` or `buildah`.
    pub(super) fn engine_name(&self) -> &'static str {
        if self.docker { "docker" } else { "buildah" }
    }

    /// What an image says it should be run as.
    pub(super) fn configuration(&self, image: &str) -> Value {
        let (arguments, path): (&[_], _) = if self.docker {
            (&["image", "inspect", "--format", "[{{json .}}]"], "/0/Config")
        } else {
            (&["inspect", "--type", "image"], "/Docker/config")
        };
        let text = self.engine(&[arguments, &[image]].concat()).succeeded();
        let value: Value = serde_json::from_str(&text).expect("JSON");
        value.pointer(path).expect("a configuration").clone()
    }

    /// Runs the engine, with the storage of the project.
    pub(super) fn engine(&self, arguments: &[&str]) -> Said {
        let mut command = program("bash", &["-ec"]);
        command.arg(". deploy/bin/lib/common.sh; . deploy/bin/lib/images.sh; \"$@\"").arg("bash");
        script::run(command.arg(self.engine_name()).args(arguments))
    }

    /// Builds a Dockerfile: `arguments` are options and the context.
    pub(super) fn build(&self, arguments: &[&str]) -> Said {
        let options: &[_] =
            if self.docker { &["build"] } else { &["build", "--layers", "--pull-never", "--format", "docker"] };
        self.engine(&[options, arguments].concat())
    }

    /// Removes an image.
    pub(super) fn forget(&self, image: &str) {
        self.engine(&["rmi", image]).succeeded();
        if !self.docker {
            // What it was built on, in a storage that is the project's alone.
            self.engine(&["rmi", "--prune"]).succeeded();
        }
    }
}

/// A program of this machine, in the project's folder.
pub(super) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(script::root());
    command
}
