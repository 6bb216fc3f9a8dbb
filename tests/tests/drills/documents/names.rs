//! Whether what the documents name exists: files, targets of `make`, options of scripts, commands of the tiers, variables,
//! configuration keys, values of the chart, metrics. What it cannot judge it leaves alone.

use std::collections::BTreeMap;

use super::{
    page::Page,
    project::{Project, is_document},
};

/// Of what has been, not of what is.
const HISTORY: &str = "CHANGELOG.md";

/// Endings of files, which are no keys of a section.
const ENDINGS: [&str; 11] = ["conf", "env", "js", "json", "md", "pem", "rs", "sh", "sql", "toml", "yml"];

/// Beginnings of metrics of ours.
const METRICS: [&str; 4] = ["todo_api_", "todo_backup_", "gateway_", "process_"];

/// Every name of nothing.
pub(super) fn mistakes(project: &Project, pages: &[Page]) -> Vec<String> {
    let names = Names::of(project);
    let mut mistakes = Vec::new();
    for page in pages.iter().filter(|page| page.path != HISTORY) {
        for (line, code) in &page.names {
            mistakes.extend(names.judge(code).into_iter().map(|mistake| format!("{}:{line}: {mistake}", page.path)));
        }
    }
    mistakes
}

struct Names<'a> {
    project: &'a Project,
    /// What each tier's command line says about itself.
    help: BTreeMap<&'static str, String>,
    /// All that is shared by scripts, where their options are read.
    libraries: String,
}

impl<'a> Names<'a> {
    fn of(project: &'a Project) -> Self {
        let help = ["todo-api", "todo-gateway"].map(|tier| (tier, Project::help(tier)));
        let libraries = project.paths().filter(|path| path.starts_with("deploy/bin/lib/") || path.ends_with("/lib.sh"));
        let libraries = libraries.map(|path| project.text(path)).collect();
        Self { project, help: help.into(), libraries }
    }

    /// What a piece of code names that is not there.
    fn judge(&self, code: &str) -> Vec<String> {
        let words: Vec<_> = code.split_whitespace().collect();
        let mut mistakes: Vec<_> = words.iter().filter_map(|word| self.word(word)).collect();
        mistakes.extend(self.key(code));
        for (at, word) in words.iter().enumerate() {
            let rest = words.get(at + 1..).unwrap_or_default();
            let arguments = || rest.iter().copied().take_while(|word| !["|", "&&", "||", ";", "#"].contains(word));
            match *word {
                "make" if words.iter().take(at).all(|word| word.contains('=')) => {
                    mistakes.extend(arguments().find_map(|word| self.target(word)));
                }
                "todo-api" | "todo-gateway" => mistakes.extend(rest.first().and_then(|next| self.command(word, next))),
                path if path.starts_with("deploy/") => {
                    let text = self.project.text(path);
                    if !text.starts_with("#!") {
                        continue;
                    }
                    let text = text + &self.libraries;
                    let options = arguments().filter(|option| option.starts_with("--") && option.len() > 2);
                    let unknown = options.map(option).filter(|option| !text.contains(option));
                    mistakes.extend(unknown.map(|option| format!("{path} has no option {option}")));
                }
                _ => {}
            }
        }
        mistakes
    }

    fn word(&self, word: &str) -> Option<String> {
        let word = word.trim_matches(|character| "\"'(),;:.".contains(character));
        if self.project.is_within(word) && !self.is_path(word) && !self.project.ignores(word) {
            return Some(format!("there is no {word}"));
        }
        if is_document(word) && !word.contains('/') && !self.is_there(word) {
            return Some(format!("there is no document {word}"));
        }
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        word.split(|character| !is_part(character)).find_map(|name| self.variable(name).or_else(|| self.metric(name)))
    }

    fn is_path(&self, word: &str) -> bool {
        let word = word.trim_end_matches('/');
        expanded(&placeholders(word)).iter().all(|pattern| {
            // A module may be named without the ending of its file.
            let module = format!("{pattern}.rs");
            self.project.paths().any(|path| matches(pattern, path) || matches(&module, path))
        })
    }

    fn is_there(&self, name: &str) -> bool {
        let pattern = placeholders(name);
        self.project.paths().any(|path| path.rsplit('/').next().is_some_and(|name| matches(&pattern, name)))
    }

    fn target(&self, word: &str) -> Option<String> {
        let is_target = word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-');
        (is_target && !self.project.targets.contains(word)).then(|| format!("there is no `make {word}`"))
    }

    fn command(&self, tier: &str, word: &str) -> Option<String> {
        let is_command =
            !word.starts_with('-') && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-');
        let known = |help: &String| help.lines().any(|line| line.split_whitespace().next() == Some(word));
        (is_command && !self.help.get(tier).is_some_and(known)).then(|| format!("{tier} has no command {word}"))
    }

    fn variable(&self, name: &str) -> Option<String> {
        let is_variable = name.contains('_')
            && name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.bytes().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'_');
        if !is_variable || name.ends_with("SECTION__KEY") {
            return None;
        }
        let key = ["TODO_API__", "TODO_GATEWAY__"].iter().find_map(|prefix| name.strip_prefix(prefix));
        let is_key = |key: &str| self.project.keys.contains(&dotted(key));
        let known = match key {
            Some(key) => is_key(key) || key.strip_suffix("_FILE").is_some_and(is_key),
            None => self.project.words.contains(name),
        };
        (!known).then(|| format!("nothing reads a variable {name}"))
    }

    fn metric(&self, name: &str) -> Option<String> {
        let is_metric = METRICS.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len());
        (is_metric && !self.project.words.contains(name)).then(|| format!("there is no metric {name}"))
    }

    /// `[section] key` or `section.key`, with or without a value behind it; or a value of the chart.
    fn key(&self, code: &str) -> Option<String> {
        let name = code.split('=').next().unwrap_or_default().trim();
        let name = match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((section, key)) => {
                let (section, key) = (section.trim_start_matches('['), key.trim_start_matches(']').trim());
                if key.is_empty() { section.to_owned() } else { format!("{section}.{key}") }
            }
            None if name.contains('.') => name.to_owned(),
            None => return None,
        };
        let mut parts = name.split('.');
        let (first, last) = (parts.next()?, name.rsplit('.').next()?);
        let is_name =
            |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
        if !name.split('.').all(is_name) || ENDINGS.contains(&last) {
            return None;
        }
        let is_section = self.project.keys.contains(first);
        let is_value = self.project.values.get(first).is_some();
        let known = self.project.keys.contains(&name)
            || (is_value && parts.try_fold(&self.project.values[first], |value, part| value.get(part)).is_some());
        ((is_section || is_value) && !known).then(|| format!("there is no configuration key {name}"))
    }
}

/// `--name` of `--name=value` or of `[--name]`.
fn option(word: &str) -> &str {
    let end = word.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    word.get(..end.unwrap_or(word.len())).unwrap_or(word)
}

fn dotted(variable: &str) -> String {
    variable.to_ascii_lowercase().replace("__", ".")
}

/// `<name>` stands for any.
fn placeholders(text: &str) -> String {
    match text.split_once('<').and_then(|(before, rest)| Some((before, rest.split_once('>')?.1))) {
        Some((before, after)) => format!("{before}*{}", placeholders(after)),
        None => text.to_owned(),
    }
}

/// `{a,b}` stands for each of them.
fn expanded(text: &str) -> Vec<String> {
    match text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (choices, after))) => {
            choices.split(',').flat_map(|choice| expanded(&format!("{before}{choice}{after}"))).collect()
        }
        None => vec![text.to_owned()],
    }
}

/// Whether a path has this pattern, in which `*` stands for anything within a folder.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end).filter_map(|at| rest.get(at..)).any(|rest| matches(after, rest))
        }),
    }
}
