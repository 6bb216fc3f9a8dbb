//! Layered configuration that is strict about every key.
//!
//! Layers, later ones win: the tier's documented file as compiled in, the compiled-in overlay of the environment, the
//! file of `--config`, environment variables (`TODO_API__DATABASE__MAX_CONNECTIONS`), and for secrets the file that
//! `<key>_file` names. Tables merge key by key; a list replaces the whole list below it, so that a file never serves a
//! route it does not show.
//!
//! Reading is done by hand-written functions, one a section, over [`Section`], and not by deriving: a derived reader
//! stops at its first mistake, and an operator wants them all, each at its place in the file that holds it. A key that
//! no reader asks for is a mistake by itself, which is how "a key that is not enforced does not exist" is kept.
//!
//! The process environment is a parameter ([`Variables`]), so that tests need not change it.

mod diagnostic;
mod layer;
pub mod reference;
mod section;
mod setting;

use std::{cell::RefCell, path::Path};

pub use diagnostic::Report;
pub use section::Section;
pub use setting::{ByteSize, Raw, Setting};

use crate::{
    cli::ConfigArgs,
    config::{diagnostic::Diagnostic, layer::Tree},
    environment::Environment,
};

/// A tier's compiled-in files.
#[derive(Debug, Clone, Copy)]
pub struct Tier {
    /// `gateway` or `api`: names the files and, in capitals, the environment variables.
    pub name: &'static str,
    /// `config/<tier>.toml`.
    pub defaults: &'static str,
    /// `config/<environment>/<tier>.toml`, in the order of [`Environment::ALL`].
    pub overlays: [&'static str; 3],
}

impl Tier {
    /// What the tier's environment variables begin with, such as `TODO_API__`.
    pub fn variable_prefix(&self) -> String {
        format!("TODO_{}__", self.name.to_uppercase())
    }

    fn overlay(&self, environment: Environment) -> &'static str {
        let [development, staging, production] = self.overlays;
        match environment {
            Environment::Development => development,
            Environment::Staging => staging,
            Environment::Production => production,
        }
    }
}

/// Where environment variables come from.
pub trait Variables {
    /// Every variable, in any order.
    fn all(&self) -> Vec<(String, String)>;
}

/// The variables of this process. Those that are not UTF-8 are not ours and are left out.
#[derive(Debug, Clone, Copy)]
pub struct ProcessVariables;

impl Variables for ProcessVariables {
    fn all(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }
}

impl Variables for &[(&str, &str)] {
    fn all(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

/// Loads a tier's configuration and hands the root section to `read`.
///
/// # Errors
/// A [`Report`] of every mistake in every layer, in one run.
pub fn load<T>(
    tier: &Tier,
    arguments: &ConfigArgs,
    variables: &dyn Variables,
    read: impl FnOnce(&Section<'_>, Environment) -> Option<T>,
) -> Result<T, Report> {
    let environment = arguments.environment;
    let mut tree = Tree::default();
    tree.add_text(format!("config/{}.toml (compiled in)", tier.name), tier.defaults);
    tree.add_text(format!("config/{environment}/{}.toml (compiled in)", tier.name), tier.overlay(environment));
    if let Some(path) = &arguments.config {
        match read_file(path) {
            Ok(text) => tree.add_text(path.display().to_string(), &text),
            Err(message) => return Err(Report::sentence(message)),
        }
    }
    tree.add_variables(&tier.variable_prefix(), &variables.all());

    let (table, sources, mistakes) = tree.finish();
    let mistakes: RefCell<Vec<Diagnostic>> = RefCell::new(mistakes);
    let value = Section::root(&table, &mistakes).read(|section| read(section, environment));
    let mistakes = mistakes.into_inner();
    match value {
        Some(value) if mistakes.is_empty() => Ok(value),
        _ => Err(Report::new(&sources, mistakes)),
    }
}

/// The largest configuration or secret file that is read, in octets: far above any honest one.
const LARGEST_FILE: u64 = 4 << 20;

/// Reads a file of text, with a sentence for people when that fails.
fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?.len();
    if size > LARGEST_FILE {
        return Err(format!("{} has {size} octets, more than the {LARGEST_FILE} that are read", path.display()));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
