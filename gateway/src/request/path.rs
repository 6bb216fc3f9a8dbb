//! The one rule for request paths, the same for the route match and for what the API receives.
//!
//! **Decision: refuse what can be read in two ways, rewrite only what RFC 3986 calls the same.** A gateway that merges
//! slashes or removes dot segments matches one path and sends another, and every such pair of readings has been somebody's
//! way around an access rule. No honest client of a JSON API sends them. So:
//!
//! | in the path | what happens |
//! |---|---|
//! | an escape of `/` or `\`, of NUL or another control character | refused |
//! | a backslash, or any octet that RFC 3986 section 3.3 does not allow | refused |
//! | `%` without two hexadecimal digits | refused |
//! | an empty segment (`//`) that is not the last | refused |
//! | a segment `.` or `..`, written out or escaped | refused |
//! | an escape of an unreserved character (`%61`) | written out (section 6.2.2.2) |
//! | lower-case digits in an escape (`%c3`) | written in upper case (section 6.2.2.1) |
//!
//! The query is not touched: the API alone reads it.

use std::borrow::Cow;

/// Why a path is refused. The text is ours and may be shown; it never holds the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefusal {
    /// It does not begin with a slash.
    #[error("The path does not begin with a slash.")]
    NotAbsolute,
    /// An octet that may not stand in a path.
    #[error("The path holds a character that has to be escaped.")]
    Character,
    /// A percent sign that begins no escape.
    #[error("The path holds a percent sign that begins no escape.")]
    Escape,
    /// An escaped slash, backslash or control character.
    #[error("The path holds an escaped slash, backslash or control character.")]
    EscapedDelimiter,
    /// Two slashes in a row.
    #[error("The path holds an empty segment.")]
    EmptySegment,
    /// `.` or `..`.
    #[error("The path holds a dot segment.")]
    DotSegment,
}

/// The path in its one form, borrowed when it has that form already.
///
/// # Errors
/// [`PathRefusal`] for what the table above refuses.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathRefusal> {
    let path = unescape(path)?;
    let segments = path.strip_prefix('/').ok_or(PathRefusal::NotAbsolute)?;
    let mut rest = segments.split('/').peekable();
    while let Some(segment) = rest.next() {
        match segment {
            "." | ".." => return Err(PathRefusal::DotSegment),
            "" if rest.peek().is_some() => return Err(PathRefusal::EmptySegment),
            _ => {}
        }
    }
    Ok(path)
}

/// Writes every escape in its one form.
fn unescape(path: &str) -> Result<Cow<'_, str>, PathRefusal> {
    if let Some(octet) = path.bytes().find(|octet| !is_path_octet(*octet)) {
        return Err(if octet == b'\\' { PathRefusal::EscapedDelimiter } else { PathRefusal::Character });
    }
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut written = String::with_capacity(path.len());
    let mut octets = path.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            written.push(char::from(octet));
            continue;
        }
        let (Some(high), Some(low)) = (octets.next().and_then(digit), octets.next().and_then(digit)) else {
            return Err(PathRefusal::Escape);
        };
        match high << 4 | low {
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(PathRefusal::EscapedDelimiter),
            unreserved if is_unreserved(unreserved) => written.push(char::from(unreserved)),
            _ => written.extend(['%', upper_case(high), upper_case(low)]),
        }
    }
    Ok(if written == path { Cow::Borrowed(path) } else { Cow::Owned(written) })
}

/// `pchar`, `/` and the percent sign (RFC 3986 section 3.3).
const fn is_path_octet(octet: u8) -> bool {
    is_unreserved(octet)
        || matches!(
            octet,
            b'/' | b'%' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

const fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn upper_case(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_plain_is_borrowed() {
        for path in ["/", "/v1/todos", "/v1/todos/", "/a:b@c!$&'()*+,;=", "/...", "/a..b", "/%20"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn equivalent_escapes_have_one_form() {
        assert_eq!(normalise("/%76%31/%c3%a9%2d").as_deref(), Ok("/v1/%C3%A9-"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        use PathRefusal::{Character, DotSegment, EmptySegment, Escape, EscapedDelimiter, NotAbsolute};
        for (path, refusal) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("v1", NotAbsolute),
            ("/a%2Fb", EscapedDelimiter),
            ("/a%2fb", EscapedDelimiter),
            ("/a%5cb", EscapedDelimiter),
            ("/a\\b", EscapedDelimiter),
            ("/a%00", EscapedDelimiter),
            ("/a%0d%0a", EscapedDelimiter),
            ("/a%7F", EscapedDelimiter),
            ("/a b", Character),
            ("/a?b", Character),
            ("/a#b", Character),
            ("/é", Character),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%+1", Escape),
            ("//", EmptySegment),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/.", DotSegment),
            ("/a/..", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e/b", DotSegment),
            ("/./a", DotSegment),
        ] {
            assert_eq!(normalise(path), Err(refusal), "{path}");
        }
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent_and_leaves_nothing_ambiguous(path in "/[a-zA-Z0-9%./~é\\\\]{0,24}") {
            if let Ok(once) = normalise(&path) {
                let twice = normalise(&once);
                prop_assert_eq!(twice.as_deref(), Ok(once.as_ref()));
                prop_assert!(once.starts_with('/') && !once.contains("//") && !once.contains('\\'));
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
                let lower = once.to_ascii_lowercase();
                prop_assert!(!lower.contains("%2f") && !lower.contains("%5c") && !lower.contains("%00"));
            }
        }

        #[test]
        fn any_text_is_survived(path in any::<String>()) {
            let _ = normalise(&path);
        }

        #[test]
        fn the_decoded_octets_stay_the_same(path in "/[a-z]{1,4}(%[2-6][0-9a-fA-F]){0,6}") {
            if let Ok(once) = normalise(&path) {
                prop_assert_eq!(decode(&once), decode(&path));
            }
        }
    }

    fn decode(path: &str) -> Vec<u8> {
        let mut octets = path.bytes();
        let mut decoded = Vec::new();
        while let Some(octet) = octets.next() {
            if octet == b'%' {
                let (high, low) = (octets.next().and_then(digit), octets.next().and_then(digit));
                decoded.push(high.expect("digit") << 4 | low.expect("digit"));
            } else {
                decoded.push(octet);
            }
        }
        decoded
    }
}
