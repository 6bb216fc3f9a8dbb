//! Layers become one tree in which every key and every value remembers where it was written.

use std::{collections::BTreeMap, ops::Range};

use toml::de::{DeTable, DeValue};

use crate::config::diagnostic::Diagnostic;

/// A text that configuration was read from.
#[derive(Debug)]
pub(crate) struct Source {
    /// A path, or the name of an environment variable.
    pub(crate) name: String,
    /// What stands in it; `None` for a variable, whose value may be a secret.
    pub(crate) text: Option<String>,
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) span: Range<usize>,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Table(Table),
    List(Vec<Located>),
    Scalar(Scalar),
}

#[derive(Debug)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// From an environment variable: its type is what the reader expects.
    Variable(String),
    /// A TOML type that no key of ours takes.
    Unsupported(&'static str),
}

/// The keys of a table, each with the place of the key.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Place,
    pub(crate) located: Located,
}

/// The layers so far, merged.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Table,
    sources: Vec<Source>,
    mistakes: Vec<Diagnostic>,
}

impl Tree {
    /// Adds a TOML text above what is there.
    pub(crate) fn add_text(&mut self, name: String, text: &str) {
        let source = self.sources.len();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.mistakes.push(Diagnostic::at(Place { source, span }, error.message().to_owned(), None));
        }
        self.sources.push(Source { name, text: Some(text.to_owned()) });
        merge(&mut self.root, table(source, document.get_ref()));
    }

    /// Adds the variables that begin with `prefix`; two underscores separate the parts of a key.
    pub(crate) fn add_variables(&mut self, prefix: &str, variables: &[(String, String)]) {
        let mut ours: Vec<_> =
            variables.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(prefix)?, value))).collect();
        ours.sort();
        for (name, path, value) in ours {
            let source = self.sources.len();
            self.sources.push(Source { name: name.clone(), text: None });
            let place = Place { source, span: 0..0 };
            let scalar = Located { place: place.clone(), value: Value::Scalar(Scalar::Variable(value.clone())) };
            // From the last part outwards: `A__B=1` is `{a: {b: 1}}`.
            let located = path.rsplit("__").fold(scalar, |inner, part| {
                let entry = Entry { key: place.clone(), located: inner };
                let entries = BTreeMap::from([(part.to_lowercase(), entry)]);
                Located { place: place.clone(), value: Value::Table(Table { entries }) }
            });
            if let Value::Table(layer) = located.value {
                merge(&mut self.root, layer);
            }
        }
    }

    /// The merged table, the sources that places refer to, and what could not even be parsed.
    pub(crate) fn finish(self) -> (Table, Vec<Source>, Vec<Diagnostic>) {
        (self.root, self.sources, self.mistakes)
    }
}

fn merge(below: &mut Table, above: Table) {
    for (key, entry) in above.entries {
        match (below.entries.get_mut(&key), entry) {
            (
                Some(Entry { key: known_key, located: Located { place: known_place, value: Value::Table(known) } }),
                Entry { key: new_key, located: Located { place, value: Value::Table(table) } },
            ) => {
                // What the whole table is blamed for is blamed on its latest mention.
                *known_key = new_key;
                *known_place = place;
                merge(known, table);
            }
            (_, entry) => {
                below.entries.insert(key, entry);
            }
        }
    }
}

fn table(source: usize, document: &DeTable<'_>) -> Table {
    let entries = document
        .iter()
        .map(|(key, value)| {
            let key_place = Place { source, span: key.span() };
            let located =
                Located { place: Place { source, span: value.span() }, value: convert(source, value.get_ref()) };
            (key.get_ref().to_string(), Entry { key: key_place, located })
        })
        .collect();
    Table { entries }
}

fn convert(source: usize, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(inner) => Value::Table(table(source, inner)),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Located {
                    place: Place { source, span: item.span() },
                    value: convert(source, item.get_ref()),
                })
                .collect(),
        ),
        DeValue::String(text) => Value::Scalar(Scalar::Text(text.to_string())),
        DeValue::Boolean(flag) => Value::Scalar(Scalar::Boolean(*flag)),
        DeValue::Integer(number) => Value::Scalar(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Scalar::Unsupported("an integer outside 64 bits"), Scalar::Integer),
        ),
        DeValue::Float(number) => {
            Value::Scalar(number.as_str().parse().map_or(Scalar::Unsupported("an unreadable number"), Scalar::Float))
        }
        DeValue::Datetime(_) => Value::Scalar(Scalar::Unsupported("a date")),
    }
}
