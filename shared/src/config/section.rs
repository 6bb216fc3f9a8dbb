//! One table while it is read: remembers what was asked for and collects every mistake.

use std::{cell::RefCell, fmt::Display, path::Path, str::FromStr};

use secrecy::SecretString;

use crate::config::{
    Raw, Setting,
    diagnostic::{Diagnostic, nearest},
    layer::{Entry, Located, Place, Scalar, Table, Value},
    read_file,
};

/// A table of the merged configuration.
///
/// Getters return `None` after they have noted a mistake; a reader asks for all its keys before it gives up with `?`,
/// so that one run shows everything.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table,
    /// Where the table itself was written last; `None` for the root.
    place: Option<&'a Place>,
    /// The dotted name, empty for the root.
    path: String,
    asked: RefCell<Vec<&'static str>>,
    secrets: RefCell<Vec<&'static str>>,
    mistakes: &'a RefCell<Vec<Diagnostic>>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(table: &'a Table, mistakes: &'a RefCell<Vec<Diagnostic>>) -> Self {
        Self::new(table, None, String::new(), mistakes)
    }

    fn new(table: &'a Table, place: Option<&'a Place>, path: String, mistakes: &'a RefCell<Vec<Diagnostic>>) -> Self {
        Self { table, place, path, asked: RefCell::default(), secrets: RefCell::default(), mistakes }
    }

    /// Runs a reader, then reports the keys it did not ask for.
    pub(crate) fn read<T>(self, read: impl FnOnce(&Section<'a>) -> Option<T>) -> Option<T> {
        let value = read(&self);
        self.report_unknown_keys();
        value
    }

    /// A key that must have a value.
    pub fn get<T: Setting>(&self, key: &'static str) -> Option<T> {
        self.required(key).and_then(|entry| self.convert(key, &entry.located))
    }

    /// A key that may be absent; an empty string unsets it. `None` means that it is there and wrong.
    pub fn optional<T: Setting>(&self, key: &'static str) -> Option<Option<T>> {
        match self.entry(key) {
            Some(entry) if !is_empty_text(&entry.located) => self.convert(key, &entry.located).map(Some),
            _ => Some(None),
        }
    }

    /// A key that may be absent, where an empty string is a value like any other.
    pub fn present<T: Setting>(&self, key: &'static str) -> Option<Option<T>> {
        self.entry(key).map_or(Some(None), |entry| self.convert(key, &entry.located).map(Some))
    }

    /// A key that may be absent and then has this value.
    pub fn get_or<T: Setting>(&self, key: &'static str, value: T) -> Option<T> {
        self.optional(key).map(|given| given.unwrap_or(value))
    }

    /// A key whose text is read by `FromStr`; the error's text is shown.
    pub fn parsed<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<T> {
        self.required(key).and_then(|entry| self.parse(key, &entry.located))
    }

    /// A list; from an environment variable, separated by commas. Absent is empty.
    pub fn list<T: Setting>(&self, key: &'static str) -> Option<Vec<T>> {
        self.elements(key, |located| self.convert(key, located))
    }

    /// A list of texts that are read by `FromStr`.
    pub fn parsed_list<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Vec<T>> {
        self.elements(key, |located| self.parse(key, located))
    }

    /// A secret: `<key>_file` names a file that holds it, and wins over `<key>` itself. Absent is `Some(None)`.
    pub fn secret(&self, key: &'static str) -> Option<Option<SecretString>> {
        self.secrets.borrow_mut().push(key);
        let file_entry = self.table.entries.iter().find(|(name, _)| name.strip_suffix("_file") == Some(key));
        let direct = self.optional::<String>(key)?;
        let Some((_, entry)) = file_entry else { return Some(direct.map(SecretString::from)) };
        let path: String = self.convert(key, &entry.located)?;
        match read_file(Path::new(&path)) {
            Ok(text) => Some(Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))),
            Err(message) => {
                self.note(Diagnostic::at(entry.located.place.clone(), message, None).without_text());
                None
            }
        }
    }

    /// A table inside this one.
    pub fn section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> Option<T>) -> Option<T> {
        let entry = self.required(key)?;
        match &entry.located.value {
            Value::Table(table) => self.inner(table, &entry.key, key).read(read),
            _ => self.mistyped(key, &entry.located, "a table"),
        }
    }

    /// A table inside this one that may be absent.
    pub fn optional_section<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.entry(key) {
            Some(_) => self.section(key, read).map(Some),
            None => Some(None),
        }
    }

    /// A list of tables (`[[key]]`). Absent is empty.
    pub fn tables<T>(&self, key: &'static str, read: impl Fn(&Section<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(entry) = self.entry(key) else { return Some(Vec::new()) };
        let Value::List(items) = &entry.located.value else {
            return self.mistyped(key, &entry.located, "a list of tables");
        };
        let read_item = |item: &'a Located| match &item.value {
            Value::Table(table) => self.inner(table, &item.place, key).read(&read),
            _ => self.mistyped(key, item, "a table"),
        };
        all(items.iter().map(read_item))
    }

    /// Tables with names of the operator's own (`[key.name]`), in the order of their names. Absent is empty.
    pub fn named<T>(&self, key: &'static str, read: impl Fn(&str, &Section<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(entry) = self.entry(key) else { return Some(Vec::new()) };
        let Value::Table(names) = &entry.located.value else {
            return self.mistyped(key, &entry.located, "tables with names");
        };
        let outer = self.inner(names, &entry.key, key);
        all(names.entries.iter().map(|(name, entry)| match &entry.located.value {
            Value::Table(table) => outer.inner(table, &entry.key, name).read(|section| read(name, section)),
            _ => self.mistyped(key, &entry.located, "a table"),
        }))
    }

    /// Notes a mistake of meaning at the key's place, or at the section's where the key is absent.
    pub fn complain(&self, key: &'static str, message: impl Into<String>, help: Option<&str>) {
        let place = self.table.entries.get(key).map(|entry| &entry.located.place).or(self.place);
        let message = format!("`{}`: {}", self.name(key), message.into());
        let mut diagnostic = match place {
            Some(place) => Diagnostic::at(place.clone(), message, help.map(str::to_owned)),
            None => Diagnostic::nowhere(message, help.map(str::to_owned)),
        };
        if self.secrets.borrow().contains(&key) {
            diagnostic = diagnostic.without_text();
        }
        self.note(diagnostic);
    }

    fn inner(&self, table: &'a Table, place: &'a Place, key: &str) -> Section<'a> {
        Section::new(table, Some(place), self.name(key), self.mistakes)
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        self.asked.borrow_mut().push(key);
        self.table.entries.get(key)
    }

    fn required(&self, key: &'static str) -> Option<&'a Entry> {
        let entry = self.entry(key);
        if entry.is_none() {
            self.complain(key, "is missing", None);
        }
        entry
    }

    fn elements<T>(&self, key: &'static str, read: impl Fn(&Located) -> Option<T>) -> Option<Vec<T>> {
        let Some(entry) = self.entry(key) else { return Some(Vec::new()) };
        match &entry.located.value {
            Value::List(items) => all(items.iter().map(read)),
            Value::Scalar(Scalar::Variable(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                all(parts.map(|part| {
                    let value = Value::Scalar(Scalar::Variable(part.to_owned()));
                    read(&Located { place: entry.located.place.clone(), value })
                }))
            }
            _ => self.mistyped(key, &entry.located, "a list"),
        }
    }

    fn convert<T: Setting>(&self, key: &'static str, located: &Located) -> Option<T> {
        raw(located).and_then(T::read).or_else(|| self.mistyped(key, located, T::EXPECTED))
    }

    fn parse<T: FromStr<Err: Display>>(&self, key: &'static str, located: &Located) -> Option<T> {
        let Some(text) = raw(located).and_then(Raw::text) else { return self.mistyped(key, located, "a string") };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("`{}`: {error}", self.name(key));
                self.note(Diagnostic::at(located.place.clone(), message, None));
                None
            }
        }
    }

    fn mistyped<T>(&self, key: &'static str, located: &Located, expected: &str) -> Option<T> {
        let message = format!("`{}`: expected {expected}, found {}", self.name(key), kind(&located.value));
        let mut diagnostic = Diagnostic::at(located.place.clone(), message, None);
        if self.secrets.borrow().contains(&key) {
            diagnostic = diagnostic.without_text();
        }
        self.note(diagnostic);
        None
    }

    fn report_unknown_keys(&self) {
        let asked = self.asked.borrow();
        let secrets = self.secrets.borrow();
        let is_secret_file = |name: &str| name.strip_suffix("_file").is_some_and(|stem| secrets.contains(&stem));
        for (name, entry) in &self.table.entries {
            if asked.contains(&name.as_str()) || is_secret_file(name) {
                continue;
            }
            let likely = nearest(name, asked.iter().copied());
            let help = likely.map(|known| format!("did you mean `{known}`?")).or_else(|| {
                let mut known: Vec<&str> = asked.clone();
                known.sort_unstable();
                known.dedup();
                (known.len() <= 24).then(|| format!("known here: {}", known.join(", ")))
            });
            let mut diagnostic = Diagnostic::at(entry.key.clone(), format!("unknown key `{}`", self.name(name)), help);
            if likely.is_some_and(|known| secrets.contains(&known)) {
                diagnostic = diagnostic.without_text();
            }
            self.note(diagnostic);
        }
    }

    fn note(&self, diagnostic: Diagnostic) {
        self.mistakes.borrow_mut().push(diagnostic);
    }
}

/// All of them, or none; every element is read even after the first mistake.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = items.collect();
    read.into_iter().collect()
}

fn raw(located: &Located) -> Option<Raw<'_>> {
    match &located.value {
        Value::Scalar(Scalar::Text(text)) => Some(Raw::Text(text)),
        Value::Scalar(Scalar::Integer(number)) => Some(Raw::Integer(*number)),
        Value::Scalar(Scalar::Float(number)) => Some(Raw::Float(*number)),
        Value::Scalar(Scalar::Boolean(flag)) => Some(Raw::Boolean(*flag)),
        Value::Scalar(Scalar::Variable(text)) => Some(Raw::Variable(text)),
        Value::Scalar(Scalar::Unsupported(_)) | Value::Table(_) | Value::List(_) => None,
    }
}

fn is_empty_text(located: &Located) -> bool {
    raw(located).and_then(Raw::text).is_some_and(str::is_empty)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Table(_) => "a table",
        Value::List(_) => "a list",
        Value::Scalar(Scalar::Text(_)) => "this string",
        Value::Scalar(Scalar::Integer(_)) => "this integer",
        Value::Scalar(Scalar::Float(_)) => "this number",
        Value::Scalar(Scalar::Boolean(_)) => "this boolean",
        Value::Scalar(Scalar::Variable(_)) => "this value",
        Value::Scalar(Scalar::Unsupported(what)) => what,
    }
}
