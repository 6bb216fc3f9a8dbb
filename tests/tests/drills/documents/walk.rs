//! Walking through documents as a reader would, on a service of its own, in a copy of the project that may be written to.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use super::{
    page::{Kind, Page},
    shell::Shell,
};
use crate::{
    copy::Copy,
    script::{self, Said},
};

/// What the first block of a document holds that begins with nothing.
const START: &str = "deploy/bin/stack up";

/// Where a stack is unless it is told otherwise.
const SETTINGS: &str = "var/stack/stack.env";

/// Whatever else this machine has on its disk and in its memory is nobody's fault here.
const ROOM: &str = "export HEALTH_DISK_PERCENT=100 HEALTH_MEMORY_PERCENT=100";

/// The copy and its service.
#[derive(Debug)]
pub(super) struct Walk {
    copy: Copy,
    bound: Duration,
}

impl Walk {
    /// In this copy of the project; a block may take so long.
    pub(super) fn new(copy: Copy, bound: Duration) -> Self {
        // The user that runs the database must come through.
        fs::set_permissions(copy.path(""), fs::Permissions::from_mode(0o711)).expect("permissions");
        Self { copy, bound }
    }

    /// Everything that did not go as the documents say. A document ends at its first mistake.
    pub(super) async fn through(&self, pages: &[Page]) -> Vec<String> {
        let mut mistakes = Vec::new();
        for page in pages {
            let mut runs = page.steps.iter().filter(|step| step.kind != Kind::NotExecuted).peekable();
            let Some(first) = runs.peek() else { continue };
            let begins_with_nothing = first.text.contains(START);
            let mut shell = Shell::start(&self.copy.path(""), self.bound);
            shell.run(ROOM, false).await;
            if begins_with_nothing {
                self.delete();
            } else {
                self.up();
                shell.run(&format!("set -a; . {SETTINGS}; set +a"), false).await;
            }
            let mistake = steps(&mut shell, page).await;
            let is_broken = mistake.is_some();
            mistakes.extend(mistake);
            if is_broken {
                // The next one begins anew.
                self.delete();
            } else if !begins_with_nothing && self.stack("status").code != 0 {
                mistakes.push(format!("{}: it does not leave the service as it found it", page.path));
            }
        }
        mistakes
    }

    /// As a document finds it that does not begin with nothing.
    fn up(&self) {
        if self.stack("status").code != 0 {
            self.stack("down");
            self.stack("up").succeeded();
        }
    }

    fn delete(&self) {
        if self.copy.path(SETTINGS).exists() {
            self.stack("delete").succeeded();
        }
    }

    fn stack(&self, command: &str) -> Said {
        self.copy.run("deploy/bin/stack", &[command])
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        if self.copy.path(SETTINGS).exists() {
            let said = self.stack("delete");
            // A second panic would hide the first.
            assert!(std::thread::panicking() || said.code == 0, "it could not be stopped: {}{}", said.out, said.err);
        }
    }
}

/// Runs the blocks of a document in order; the first mistake ends it.
pub(super) async fn steps(shell: &mut Shell, page: &Page) -> Option<String> {
    for step in &page.steps {
        let (fails, prints) = match &step.kind {
            Kind::Executed { fails, prints } => (*fails, prints.as_slice()),
            Kind::Drill => (false, [].as_slice()),
            Kind::NotExecuted => continue,
        };
        let outcome = shell.run(&step.text, fails).await;
        let missing = prints.iter().find(|expected| !outcome.said.contains(*expected));
        let mistake = match (outcome.code, missing) {
            (None, _) => "it did not end in time".to_owned(),
            (Some(0), _) if fails => "it succeeded, and should not".to_owned(),
            (Some(code), _) if code != 0 && !fails => format!("it failed with exit code {code}"),
            (Some(_), Some(expected)) => format!("it does not say {expected}"),
            (Some(_), None) => continue,
        };
        return Some(format!("{}:{}: {mistake}\n{}\nit said:\n{}", page.path, step.line, step.text, outcome.said));
    }
    None
}

/// What a shell has against the form of a block.
pub(super) fn complaint(block: &str) -> Option<String> {
    let said = script::run(Command::new("bash").args(["-n", "-c", block]));
    (said.code != 0).then_some(said.err)
}
