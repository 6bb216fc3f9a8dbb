//! A copy of the project, or of a part of it, that may be broken.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::script::{self, Said};

/// The folder, with this project's tools.
#[derive(Debug)]
pub(crate) struct Copy(TempDir);

impl Copy {
    /// Of `deploy/`, as it stands here.
    pub(crate) fn new() -> Self {
        Self::of("deploy")
    }

    /// Of this path of the project.
    pub(crate) fn of(path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // What git knows or would: secrets that an operator keeps there are nobody's business.
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard", path]).current_dir(script::root());
        let files = script::run(&mut git).succeeded();
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--parents"]).args(files.lines()).arg(folder.path()).current_dir(script::root());
        script::run(&mut copy).succeeded();
        symlink(script::root().join("target"), folder.path().join("target")).expect("linked");
        Self(folder)
    }

    /// A file of it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Puts one text in the place of another.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(file)).expect("read");
        assert!(text.contains(old), "{file} has no {old}");
        fs::write(self.path(file), text.replacen(old, new, 1)).expect("written");
    }

    /// Runs one of its scripts.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Said {
        script::run(&mut self.command(script, arguments))
    }

    /// One of its scripts.
    pub(crate) fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path(script));
        command.args(arguments).current_dir(self.0.path()).env_remove("HELM");
        script::forget_service(&mut command);
        command
    }
}
