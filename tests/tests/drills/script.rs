//! Running a script of the project and looking at what it says.

use std::{path::Path, process::Command};

/// What a script said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in a folder of the project")
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    run(Command::new("id").arg("--user")).succeeded().trim() == "0"
}

/// A command in the project's folder, without variables that the caller's shell has set for the service.
pub(crate) fn command(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join(script));
    command.args(arguments).current_dir(root());
    forget_service(&mut command);
    command
}

/// Takes away what the caller's shell has set for the service.
pub(crate) fn forget_service(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("TODO_") || name.starts_with("STACK") {
            command.env_remove(variable);
        }
    }
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Said {
    /// What it said, when it succeeded.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "it failed\n{}\n{}", self.out, self.err);
        self.out
    }

    /// Its last line of complaint, when it failed.
    pub(crate) fn failed(self) -> String {
        assert_ne!(self.code, 0, "it succeeded\n{}\n{}", self.out, self.err);
        self.err.lines().last().unwrap_or_default().to_owned()
    }
}
