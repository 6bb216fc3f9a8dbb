//! The project as the documents may speak of it: its files, and what it is told by names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use todo_shared::config::reference;
use todo_tests::generated::TIERS;

use super::page::Page;
use crate::{
    manifests::yaml,
    script::{self, Said},
};

/// A folder with the project, or a copy of it.
#[derive(Debug)]
pub(super) struct Project {
    /// The folder.
    root: PathBuf,
    /// Every file that git knows or would, by its path.
    files: BTreeSet<String>,
    /// Every folder of these.
    folders: BTreeSet<String>,
    /// What `make` can be asked for.
    pub(super) targets: BTreeSet<String>,
    /// Every configuration key of both tiers, and the sections above it.
    pub(super) keys: BTreeSet<String>,
    /// The chart's values.
    pub(super) values: Value,
    /// The words of everything that is no document: what variables and metrics there are.
    pub(super) words: BTreeSet<String>,
}

impl Project {
    /// Looks at a folder whose files are these.
    pub(super) fn of(root: &Path, files: BTreeSet<String>) -> Self {
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
        let above = |path: &str, separator: char| -> Vec<String> {
            path.match_indices(separator).filter_map(|(end, _)| path.get(..end)).map(ToOwned::to_owned).collect()
        };
        let folders = files.iter().flat_map(|file| above(file, '/')).collect();
        let targets = read("Makefile").lines().filter_map(target).collect();
        let keys = TIERS.iter().flat_map(|tier| reference::keys(tier.defaults)).map(|key| key.path);
        let keys = keys.flat_map(|key| above(&key, '.').into_iter().chain([key])).collect();
        let values = yaml(&read("deploy/helm/todo-platform/values.yaml")).remove(0);
        let sources = files.iter().filter(|file| !is_document(file) && !file.contains("drills/documents/"));
        let words = sources.flat_map(|file| words(&read(file))).collect();
        Self { root: root.to_owned(), files, folders, targets, keys, values, words }
    }

    /// The one that is tested.
    pub(super) fn here() -> Self {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(script::root());
        let files = script::run(&mut git).succeeded();
        let files = files.lines().filter(|file| script::root().join(file).exists()).map(ToOwned::to_owned);
        Self::of(script::root(), files.collect())
    }

    /// Its Markdown files.
    pub(super) fn pages(&self) -> Vec<Page> {
        let documents = self.files.iter().filter(|file| is_document(file));
        documents.map(|file| Page::read(file, &self.text(file))).collect()
    }

    /// A file's text.
    pub(super) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path) || self.folders.contains(path)
    }

    /// Its paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().chain(&self.folders).map(String::as_str)
    }

    /// Whether git is told to ignore this path, a file or a folder: what a build or a run leaves.
    pub(super) fn ignores(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let mut git = Command::new("git");
        script::run(git.args(["check-ignore", path, &folder]).current_dir(&self.root)).code == 0
    }

    /// Whether a path begins with one of its folders.
    pub(super) fn is_within(&self, path: &str) -> bool {
        path.split_once('/').is_some_and(|(first, _)| self.folders.contains(first))
    }

    /// What a tier's command line says about itself.
    pub(super) fn help(tier: &str) -> String {
        let mut command = todo_tests::process::tier(tier).expect("the binaries are built");
        let Said { out, .. } = script::run(command.arg("--help"));
        out
    }
}

/// Whether a file is a document, by its name.
pub(super) fn is_document(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|ending| ending == "md")
}

/// The target that a line of the Makefile begins.
fn target(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-');
    (is_name && !rest.starts_with('=')).then(|| name.to_owned())
}

/// Words as programs write names.
fn words(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_part(character)).filter(|word| word.contains('_')).map(ToOwned::to_owned).collect()
}
