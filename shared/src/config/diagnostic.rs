//! Mistakes as an operator reads them: `file:line:column`, the line itself, what is wrong, what was probably meant.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use crate::config::layer::{Place, Source};

/// One mistake.
#[derive(Debug)]
pub(crate) struct Diagnostic {
    place: Option<Place>,
    message: String,
    help: Option<String>,
    /// Whether the line may be shown: one that may hold a secret is not.
    show_line: bool,
}

impl Diagnostic {
    pub(crate) fn at(place: Place, message: String, help: Option<String>) -> Self {
        Self { place: Some(place), message, help, show_line: true }
    }

    pub(crate) fn nowhere(message: String, help: Option<String>) -> Self {
        Self { place: None, message, help, show_line: false }
    }

    pub(crate) fn without_text(self) -> Self {
        Self { show_line: false, ..self }
    }

    fn render(&self, sources: &[Source]) -> String {
        let renderer = Renderer::plain().decor_style(DecorStyle::Ascii);
        let mut group = Level::ERROR.primary_title(self.message.as_str()).elements(Vec::<Origin<'_>>::new());
        if let Some((place, source)) = self.place.as_ref().and_then(|place| Some((place, sources.get(place.source)?))) {
            match source.text.as_deref() {
                Some(text) if self.show_line && !may_hold_a_secret(text, place.span.start) => {
                    let span = place.span.start.min(text.len())..place.span.end.min(text.len());
                    let annotation = AnnotationKind::Primary.span(first_line(text, span));
                    group = group.element(Snippet::source(text).path(source.name.as_str()).annotation(annotation));
                }
                Some(text) => {
                    let (line, column) = line_and_column(text, place.span.start);
                    group = group.element(Origin::path(source.name.as_str()).line(line).char_column(column));
                }
                None => {
                    let name = format!("environment variable {}", source.name);
                    group = group.element(Origin::path(name));
                }
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// Every mistake of one run, rendered.
#[derive(Debug)]
pub struct Report {
    rendered: String,
    count: usize,
}

impl Report {
    pub(crate) fn new(sources: &[Source], mistakes: Vec<Diagnostic>) -> Self {
        let mut in_order: Vec<_> = mistakes.iter().collect();
        in_order.sort_by_key(|mistake| mistake.place.as_ref().map(|place| (place.source, place.span.start)));
        let rendered = in_order.iter().map(|mistake| mistake.render(sources)).collect::<Vec<_>>().join("\n\n");
        Self { rendered, count: mistakes.len() }
    }

    /// A mistake that has no place in a file, such as a file that is not there.
    pub fn sentence(message: impl Into<String>) -> Self {
        Self { rendered: format!("error: {}", message.into()), count: 1 }
    }

    /// How many mistakes there are.
    pub const fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.count == 1 { "mistake" } else { "mistakes" };
        write!(formatter, "{}\n\nthe configuration has {} {noun}", self.rendered, self.count)
    }
}

impl std::error::Error for Report {}

/// The known name that was probably meant, if one is close enough.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Among equally similar names the one of the same length was meant: letters are swapped more often than lost.
    let score = |candidate: &str| {
        let lengths_differ_by = u32::try_from(name.len().abs_diff(candidate.len())).unwrap_or(u32::MAX);
        strsim::jaro_winkler(name, candidate) - f64::from(lengths_differ_by) / 1000.0
    };
    known.filter(|candidate| score(candidate) > 0.8).max_by(|left, right| score(left).total_cmp(&score(right)))
}

/// Parts of a key's name after which its value is never shown.
const SECRET_WORDS: [&str; 5] = ["secret", "password", "key_ring", "token", "url"];

/// Whether the line at this place may hold a secret: because of a key on it, or of the key whose value it goes on with.
fn may_hold_a_secret(text: &str, at: usize) -> bool {
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length);
    let statement = text.get(statement_start(text, at)..end).unwrap_or(text).to_lowercase();
    // All keys of an inline table stand before its last equals sign.
    let keys = statement.rsplit_once('=').map_or(statement.as_str(), |(keys, _)| keys);
    SECRET_WORDS.iter().any(|word| keys.contains(word))
}

/// Where the statement begins that this place belongs to; its value may go over many lines.
fn statement_start(text: &str, at: usize) -> usize {
    let line_start = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let mut start = line_start(at);
    for quotes in ["\"\"\"", "'''"] {
        let before = text.get(..start).unwrap_or_default();
        if before.matches(quotes).count() % 2 == 1 {
            start = before.rfind(quotes).map_or(start, line_start);
        }
    }
    while start > 0 && !text.get(start..).and_then(|rest| rest.lines().next()).is_some_and(begins_a_statement) {
        start = line_start(start - 1);
    }
    start
}

fn begins_a_statement(line: &str) -> bool {
    let is_key =
        |key: &str| !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || " _-.\"'".contains(letter));
    line.starts_with('[') || line.split_once('=').is_some_and(|(key, _)| is_key(key.trim()))
}

/// A value over many lines is marked at its first.
fn first_line(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let length =
        text.get(span.clone()).and_then(|marked| marked.find('\n')).unwrap_or(span.end.saturating_sub(span.start));
    span.start..span.start + length
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["http", "https", "redirect_port"];
        assert_eq!(nearest("httsp", known.into_iter()), Some("https"));
        assert_eq!(nearest("redirect_prot", known.into_iter()), Some("redirect_port"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }

    #[test]
    fn a_line_is_not_shown_where_its_key_or_that_of_its_statement_is_secret() {
        for text in [
            "key_ring = \"here\"",
            "auth = { key_ring = \"x\", here = 1 }",
            "[auth]\nkey_ring = \"\"\"\nMTIz==\nhere\n\"\"\"\n",
            "[auth]\nkey_ring = '''\nMTIz==\nhere",
            "passwords = [\n  \"a\",\n  \"here\",\n]",
            "key_ring \"here\"",
        ] {
            assert!(may_hold_a_secret(text, text.find("here").expect("marked")), "{text}");
        }
        for text in [
            "names = [\n  \"here\",\n]",
            "key_ring = \"x\"\nhere = 1",
            "key_ring = \"\"\"x\"\"\"\nnames = [\n\"here\"]",
            "key_ring = \"x\"\n[here]",
        ] {
            assert!(!may_hold_a_secret(text, text.find("here").expect("marked")), "{text}");
        }
    }
}
