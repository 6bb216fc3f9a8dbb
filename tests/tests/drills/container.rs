//! What a container would see, without one: there is no engine and no cluster here. The real binary of the tier reads the
//! variables and files that the container would have, in the environment that it names, and says whether they are right.

use std::{collections::BTreeMap, fs};

use tempfile::TempDir;
use todo_tests::process;

use crate::script::{self, Said};

/// Where configuration and secrets are mounted.
const MOUNTED: [&str; 2] = ["/etc/todo", "/run/secrets"];

/// A container of one of the tiers.
#[derive(Debug, Default)]
pub(crate) struct Container {
    /// `todo-api` or `todo-gateway`.
    pub(crate) tier: String,
    /// What the program is called with.
    pub(crate) arguments: Vec<String>,
    /// Its environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// Texts that are mounted, by path.
    pub(crate) files: BTreeMap<String, String>,
    /// Secrets that are mounted: the path, and the name of one of [`Secrets`].
    pub(crate) secrets: BTreeMap<String, String>,
}

impl Container {
    /// The tier's own verdict.
    pub(crate) fn check(&self, secrets: &Secrets) -> Said {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = |path: &str| folder.path().join(path.trim_start_matches('/'));
        let write = |path: &str, content: &[u8]| {
            let path = inside(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, content).expect("written");
        };
        let moved = |text: &str| {
            let put = |text: String, path: &&str| text.replace(path, inside(path).to_str().expect("a path"));
            MOUNTED.iter().fold(text.to_owned(), put)
        };
        for (path, content) in &self.files {
            write(path, moved(content).as_bytes());
        }
        for (path, name) in &self.secrets {
            write(path, &secrets.get(name));
        }
        let mut command = process::tier(&self.tier).expect("the binaries");
        command.arg("check").args(self.arguments.iter().skip(1).map(|argument| moved(argument)));
        command.envs(self.variables.iter().map(|(name, value)| (name, moved(value))));
        script::run(&mut command)
    }
}

/// Secrets as `deploy/bin/compose-secrets` makes them.
#[derive(Debug)]
pub(crate) struct Secrets(TempDir);

impl Secrets {
    /// Fresh ones.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a path");
        script::run(&mut script::command("deploy/bin/compose-secrets", &[path])).succeeded();
        Self(folder)
    }

    fn get(&self, name: &str) -> Vec<u8> {
        // The site's certificate is not made there; the database's is one as well.
        let name = match name {
            "tls-chain" => "database-certificate",
            "tls-key" => "database-certificate-key",
            name => name,
        };
        fs::read(self.0.path().join(name)).unwrap_or_else(|error| panic!("the secret {name}: {error}"))
    }
}
