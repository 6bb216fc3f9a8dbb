//! Words to find todos by: folded and split here and not by a database, so that both engines find the same.
//!
//! Text is decomposed (NFKD) and loses its accents and its case; a word is then a run of letters and digits, cut after 64
//! characters. A todo matches when it has every word of the query, in its title or its notes, whole.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization as _, char::canonical_combining_class};

use super::Fault;

/// The most characters of a word that count.
const LONGEST: usize = 64;
/// The most words of a query.
const MOST: usize = 10;

/// The different words of a text, sorted.
pub fn split(text: &str) -> Vec<String> {
    // What has a combining class is attached to the letter before it: an accent, a point, a tone.
    let plain = text.nfkd().filter(|&character| canonical_combining_class(character) == 0);
    let folded: String = plain.flat_map(char::to_lowercase).collect();
    let words: BTreeSet<String> = folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(LONGEST).collect())
        .collect();
    words.into_iter().collect()
}

/// The words of a query.
///
/// # Errors
/// None at all, or too many.
pub fn parse(query: &str) -> Result<Vec<String>, Fault> {
    let words = split(query);
    if words.is_empty() {
        Err(Fault::new("invalid", "At least one word."))
    } else if words.len() > MOST {
        Err(Fault::new("too_many", "At most 10 different words."))
    } else {
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folded_split_and_once_each() {
        assert_eq!(split("Buy MILK, milk & 2 Äpfel!"), ["2", "apfel", "buy", "milk"]);
        // The same word, composed and decomposed, and in full width.
        assert_eq!(split("Éva E\u{301}va éva Ｅva"), ["eva"]);
        assert_eq!(split(" -- "), Vec::<String>::new());
        assert_eq!(split(&"x".repeat(100)), ["x".repeat(64)]);
        assert!(parse("...").is_err());
        assert!(parse("a b c d e f g h i j k").is_err());
    }

    proptest! {
        #[test]
        fn words_need_no_quoting(text in ".*") {
            for word in split(&text) {
                prop_assert!(!word.is_empty() && !word.contains(['\'', '"', '\\', ' ', '\0', '&', '|', ':']));
            }
        }
    }
}
