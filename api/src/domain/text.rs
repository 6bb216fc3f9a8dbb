//! Bounded text. Lengths count Unicode scalar values, and text is kept as it was sent.
//!
//! One-line texts (titles, names, tags) have no control characters and are not blank. Notes are free but for U+0000,
//! which PostgreSQL cannot keep. Tags are told apart by their exact characters, case included; white space at their ends
//! is dropped and so is a tag that is there already.

use serde::{Deserialize, Serialize};

use super::Fault;

/// Declares a text type with a smallest and a largest length.
macro_rules! bounded_text {
    ($(#[$about:meta])* $name:ident, $min:literal..=$max:literal, $rule:path) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The most Unicode scalar values it may have.
            pub const MAX: usize = $max;

            /// Checks the rules of the type.
            pub fn parse(text: &str) -> Result<Self, Fault> {
                $rule(text)?;
                let length = text.chars().take(Self::MAX + 1).count();
                if ($min..=$max).contains(&length) {
                    Ok(Self(text.to_owned()))
                } else if length > Self::MAX {
                    Err(Fault::new("too_long", concat!("At most ", $max, " characters.")))
                } else {
                    Err(Fault::new("too_short", concat!("At least ", $min, " character.")))
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

bounded_text!(
    /// What is to be done.
    Title, 1..=500, one_line
);
bounded_text!(
    /// Free text beside a title; may be empty.
    Notes, 0..=10000, no_null
);
bounded_text!(
    /// What a list is called.
    ListName, 1..=200, one_line
);
bounded_text!(
    /// A word or a few to find todos by.
    Tag, 1..=50, one_line
);

impl<'de> Deserialize<'de> for Tag {
    /// For reading the database, which holds what was checked.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// The most tags of a todo.
pub const MOST_TAGS: usize = 20;

/// Reads the tags of a todo; order is kept. A fault comes with the index of its tag, if it has one.
pub fn parse_tags(texts: &[String]) -> Result<Vec<Tag>, (Option<usize>, Fault)> {
    if texts.len() > MOST_TAGS {
        return Err((None, Fault::new("too_many", "At most 20 tags.")));
    }
    let mut tags = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let tag = Tag::parse(text.trim()).map_err(|fault| (Some(index), fault))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

fn one_line(text: &str) -> Result<(), Fault> {
    if text.chars().any(char::is_control) {
        Err(Fault::new("control_character", "One line without control characters."))
    } else if !text.is_empty() && text.chars().all(char::is_whitespace) {
        Err(Fault::new("blank", "Not only white space."))
    } else {
        Ok(())
    }
}

fn no_null(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::new("control_character", "No U+0000.")) } else { Ok(()) }
}

/// A colour, `#rrggbb` in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Color(String);

impl Color {
    /// Reads `#rrggbb` in any case.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix('#') {
            Some(digits) if digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(Fault::new("invalid", "Expected a colour like #1e90ff.")),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Fault>) -> &'static str {
        result.err().map_or("", |fault| fault.code)
    }

    #[test]
    fn lengths_count_scalar_values() {
        assert!(Title::parse(&"é".repeat(500)).is_ok());
        assert!(Title::parse(&"🦀".repeat(500)).is_ok());
        assert_eq!(code(Title::parse(&"🦀".repeat(501))), "too_long");
        assert_eq!(code(Title::parse("")), "too_short");
        assert!(Notes::parse("").is_ok());
        assert_eq!(code(Notes::parse(&"n".repeat(10_001))), "too_long");
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(code(Title::parse("a\nb")), "control_character");
        assert_eq!(code(Title::parse(" \u{3000}")), "blank");
        assert!(Title::parse(" a ").is_ok_and(|title| title.as_str() == " a "));
        assert!(Notes::parse("a\nb").is_ok());
        assert_eq!(code(Notes::parse("a\0")), "control_character");
    }

    #[test]
    fn tags_are_trimmed_and_told_apart_by_case() {
        let tags = parse_tags(&[" home".into(), "home".into(), "Home".into()]).expect("valid");
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["home", "Home"]);
        assert_eq!(parse_tags(&vec!["a".into(); 21]).expect_err("too many").0, None);
        assert_eq!(parse_tags(&["a".into(), "b".repeat(51)]).expect_err("too long").0, Some(1));
    }

    #[test]
    fn colours_and_zones() {
        assert_eq!(Color::parse("#1E90FF").expect("a colour").as_str(), "#1e90ff");
        for text in ["1e90ff", "#1e90f", "#1e90fg", "#1e90ffé", ""] {
            assert!(Color::parse(text).is_err(), "{text}");
        }
    }
}
