//! The request target (RFC 9112 section 3.2), taken apart.

/// A target in origin form or absolute form; the others are not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The authority of the absolute form.
    pub(super) authority: Option<&'a str>,
    pub(super) path: &'a str,
    /// Without its question mark.
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `None` for what is neither form, such as `*`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (authority, rest) = if text.starts_with('/') {
            (None, text)
        } else {
            let (scheme, rest) = text.split_once("://")?;
            if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
                return None;
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end)?;
            (Some(authority), rest)
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        // The absolute form may leave out the path of the root (RFC 9112 section 3.2.2).
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        Some(Self { authority, path, query })
    }

    /// The origin form, with this path.
    pub(super) fn with_path(&self, path: &str) -> String {
        self.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_taken_apart() {
        for (text, authority, path, query) in [
            ("/", None, "/", None),
            ("/a?b?c", None, "/a", Some("b?c")),
            ("/a?", None, "/a", Some("")),
            ("https://h:1/a?b", Some("h:1"), "/a", Some("b")),
            ("HTTP://h", Some("h"), "/", None),
            ("https://h?b", Some("h"), "/", Some("b")),
            ("https://u@h/", Some("u@h"), "/", None),
        ] {
            assert_eq!(Target::parse(text), Some(Target { authority, path, query }), "{text}");
        }
        for text in ["", "*", "a", "h:443", "ftp://h/", "://h/"] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_origin_form_keeps_the_query_as_it_came() {
        let target = Target::parse("https://h/a?b=%2f").expect("target");
        assert_eq!(target.with_path("/A"), "/A?b=%2f");
    }
}
