//! The documented default file as data: every key with its comment, default and example.
//!
//! The form of the file is part of its meaning. A comment stands above its key (`# text`); a key that has no default is
//! written as an example, without a space after the sign (`#key = "example"`). From this the `.env` examples are made,
//! and the list of keys that must each have a test of its behaviour.

use std::fmt::Write as _;

use crate::{config::Tier, environment::Environment};

/// One key of a tier's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The dotted name; a key of a list of tables has the list's name in front, such as `routes.name`.
    pub path: String,
    /// The comment above it, one string a line.
    pub comment: Vec<String>,
    /// The default, or the example, as written in the file.
    pub value: String,
    /// Whether the value is only an example.
    pub example: bool,
    /// Whether it stands in a list of tables, which no environment variable can set.
    pub in_list: bool,
}

/// The keys of a documented file, in its order, each once.
pub fn keys(document: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let (mut section, mut in_list) = (String::new(), false);
    let mut comment: Vec<String> = Vec::new();
    for line in document.lines() {
        let bare = line.trim();
        // A list that has no element by default is an example as well.
        let table = bare.strip_prefix('#').unwrap_or(bare);
        if let Some(name) = table.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            (section, in_list) = (name.to_owned(), true);
            comment.clear();
        } else if let Some(name) = table.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // A table below a list of tables belongs to that list's element.
            in_list = in_list && name.split('.').next() == section.split('.').next();
            name.clone_into(&mut section);
            comment.clear();
        } else if let Some(text) = bare.strip_prefix("# ") {
            comment.push(text.to_owned());
        } else if let Some((name, value)) = assignment(bare.trim_start_matches('#')) {
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            if !keys.iter().any(|key| key.path == path) {
                let comment = std::mem::take(&mut comment);
                keys.push(Key { path, comment, value: value.to_owned(), example: bare.starts_with('#'), in_list });
            }
            comment.clear();
        } else if bare.is_empty() {
            comment.clear();
        }
    }
    keys
}

fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && name.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_');
    is_name.then(|| (name, value.trim()))
}

/// What the comment of a key says that an environment cannot start without.
const REQUIRED: &str = "Required in staging and production";

/// The tier's part of an environment's `.env` example: every key that a variable can set, with its comment.
///
/// What the environment's overlay sets is the default shown. A key that the environment requires stands without the
/// sign of a comment, for the reader to fill in; everything else is commented out, so that the file used as it is
/// changes nothing.
pub fn env_example(tier: &Tier, environment: Environment) -> String {
    let overlay = keys(tier.overlay(environment));
    let mut text = String::new();
    for key in keys(tier.defaults).into_iter().filter(|key| !key.in_list) {
        for line in &key.comment {
            let _ = writeln!(text, "# {line}");
        }
        let variable = format!("{}{}", tier.variable_prefix(), key.path.replace('.', "__").to_uppercase());
        let shown = overlay.iter().find(|set| set.path == key.path).unwrap_or(&key);
        let required =
            environment != Environment::Development && key.comment.iter().any(|line| line.contains(REQUIRED));
        let _ = if required {
            writeln!(text, "{variable}=\n")
        } else {
            writeln!(text, "#{variable}={}\n", variable_form(&shown.value))
        };
    }
    text
}

/// How a TOML value is written in an environment variable: strings without quotes, lists separated by commas.
fn variable_form(value: &str) -> String {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    inner
        .split(',')
        .map(|part| part.trim().trim_matches('"'))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_their_comments_and_examples() {
        let document = "# about the file\n\n[server]\n# Where to listen.\n# In words.\nlisten = \"127.0.0.1:1\"\n\n# A name.\n#name = \"x\"\n\n\
                        [[routes]]\n# Its name.\nname = \"api\"\n[[routes]]\nname = \"other\"\n[tls]\nhosts = [\"a\", \"b\"]\n\
                        #[[tls.certificates]]\n# Its chain.\n#chain = \"c\"\n";
        let keys = keys(document);
        let paths: Vec<_> = keys.iter().map(|key| (key.path.as_str(), key.example, key.in_list)).collect();
        assert_eq!(
            paths,
            [
                ("server.listen", false, false),
                ("server.name", true, false),
                ("routes.name", false, true),
                ("tls.hosts", false, false),
                ("tls.certificates.chain", true, true)
            ]
        );
        assert_eq!(keys[0].comment, ["Where to listen.", "In words."]);
        assert_eq!(variable_form(&keys[3].value), "a,b");
    }
}
