//! A shell that blocks of commands are given to, one after the other, as a reader would: what one sets, the next has.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::script;

/// The shell. It ends with its handle, and so does what it has left running in front.
#[derive(Debug)]
pub(super) struct Shell {
    child: Child,
    /// Holds each block, what it said and its exit code.
    folder: TempDir,
    blocks: usize,
    /// How long a block may take.
    bound: Duration,
}

/// What became of a block.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its exit code; none where it did not end in time.
    pub(super) code: Option<i32>,
    /// Everything it said.
    pub(super) said: String,
}

impl Shell {
    /// Starts one in a folder.
    pub(super) fn start(folder: &Path, bound: Duration) -> Self {
        let mut command = Command::new("bash");
        script::forget_service(&mut command);
        command.args(["--noprofile", "--norc"]).current_dir(folder).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("bash");
        Self { child, folder: tempfile::tempdir().expect("a folder"), blocks: 0, bound }
    }

    /// Runs a block. Unless it is to fail, the first command of it that fails ends the shell.
    pub(super) async fn run(&mut self, block: &str, fails: bool) -> Outcome {
        self.blocks += 1;
        let file = |name: &str| self.folder.path().join(format!("{}.{name}", self.blocks));
        let (text, said, code) = (file("sh"), file("said"), file("code"));
        fs::write(&text, block).expect("written");
        let strict = if fails { "+e" } else { "-e" };
        // Nobody is there to answer questions. The code has its name when it is whole.
        let line = format!(
            "set {strict} -uo pipefail; . {text} </dev/null >{said} 2>&1; echo $? >{code}.new; mv {code}.new {code}\n",
            text = text.display(),
            said = said.display(),
            code = code.display(),
        );
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(line.as_bytes()).expect("the shell listens");
        let deadline = Instant::now() + self.bound;
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let code = loop {
            looks.tick().await;
            if let Ok(code) = fs::read_to_string(&code) {
                break Some(code.trim().parse().expect("a code"));
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                break Some(status.code().unwrap_or(-1));
            }
            if Instant::now() >= deadline {
                break None;
            }
        };
        Outcome { code, said: fs::read_to_string(&said).unwrap_or_default() }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // The whole group: a block that hangs, hangs in a program that it has started.
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _ = self.child.wait();
        }
    }
}
