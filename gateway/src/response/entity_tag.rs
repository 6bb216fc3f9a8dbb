//! Entity tags under compression (RFC 9110 section 8.8.3): a strong tag names one sequence of octets, so the compressed
//! form of `"v3"` is `"v3-gz"`, and what the client says of that in a condition is turned back before the API sees it.
//!
//! The mapping loses nothing. A tag of the API's own that could be taken for one of ours (`"x-gz"`) goes out as
//! `"x-gz-id"`, so every tag that comes back has exactly one reading and none of the API's is ever cut. Weak tags name
//! what is the same in every coding and stay as they are.

use std::borrow::Cow;

use crate::response::negotiation::Coding;

/// What follows the API's own text where the octets are plain and the text ends like one of ours.
const PLAIN: &[u8] = b"-id";

const fn suffix(coding: Coding) -> &'static [u8] {
    match coding {
        Coding::Zstd => b"-zst",
        Coding::Brotli => b"-br",
        Coding::Gzip => b"-gz",
    }
}

/// A tag taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    /// What stands between the quotes.
    text: &'a [u8],
}

impl<'a> Tag<'a> {
    fn parse(octets: &'a [u8]) -> Option<Self> {
        let (tag, rest) = Self::take(octets)?;
        rest.is_empty().then_some(tag)
    }

    /// The tag at the front, and what follows it.
    fn take(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = octets.strip_prefix(b"W/").map_or((false, octets), |rest| (true, rest));
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|octet| *octet == b'"')?;
        let (text, rest) = inner.split_at_checked(end)?;
        let is_text = text.iter().all(|octet| *octet == 0x21 || (*octet >= 0x23 && *octet != 0x7f));
        is_text.then_some((Self { weak, text }, rest.get(1..)?))
    }

    fn write(self, suffix: &[u8], out: &mut Vec<u8>) {
        if self.weak {
            out.extend_from_slice(b"W/");
        }
        out.push(b'"');
        out.extend_from_slice(self.text);
        out.extend_from_slice(suffix);
        out.push(b'"');
    }

    /// The API's tag, where this one was marked.
    fn unmarked(self) -> Option<(Self, Mark)> {
        let coded = Coding::ALL.into_iter().map(|coding| (suffix(coding), Mark::Coded(coding)));
        coded.chain([(PLAIN, Mark::Plain)]).find_map(|(suffix, mark)| {
            let text = self.text.strip_suffix(suffix)?;
            Some((Self { text, ..self }, mark))
        })
    }
}

/// What a suffix says of the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Coded(Coding),
    Plain,
}

/// Whether this is an entity tag.
pub fn is_valid(tag: &[u8]) -> bool {
    Tag::parse(tag).is_some()
}

/// The API's tag as it goes out with octets in this coding; `None` where it stays as it is.
pub fn mark(tag: &[u8], coding: Option<Coding>) -> Option<Vec<u8>> {
    let tag = Tag::parse(tag)?;
    let suffix = match coding {
        Some(coding) if !tag.weak => suffix(coding),
        _ => tag.unmarked().map(|_| PLAIN)?,
    };
    let mut out = Vec::with_capacity(tag.text.len() + 8);
    tag.write(suffix, &mut out);
    Some(out)
}

/// The value of `If-Match` or `If-None-Match` in the API's own tags, without those in a coding that does not `count`; `None`
/// where it holds none of ours, or is no list of tags, and stays as it is. It may be empty.
pub fn unmark(field: &[u8], counts: impl Fn(Coding) -> bool) -> Option<Vec<u8>> {
    if !list(field).any(|tag| tag.unmarked().is_some()) || !is_list(field) {
        return None;
    }
    let mut out = Vec::with_capacity(field.len());
    for tag in list(field) {
        let own = match tag.unmarked() {
            None => tag,
            Some((_, Mark::Coded(coding))) if !counts(coding) => continue,
            Some((own, _)) => own,
        };
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        own.write(b"", &mut out);
    }
    Some(out)
}

/// What becomes of `If-Range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range<'a> {
    /// The API is asked with this value.
    Asked(Cow<'a, [u8]>),
    /// The client holds a part of the compressed octets, and nobody can send it the rest: it gets the whole.
    Whole,
}

/// What a value of `If-Range` (RFC 9110 section 13.1.5) becomes; a date stays as it is.
pub fn unmark_range(field: &[u8]) -> Range<'_> {
    match Tag::parse(field).and_then(Tag::unmarked) {
        None => Range::Asked(Cow::Borrowed(field)),
        Some((_, Mark::Coded(_))) => Range::Whole,
        Some((tag, Mark::Plain)) => {
            let mut out = Vec::with_capacity(field.len());
            tag.write(b"", &mut out);
            Range::Asked(Cow::Owned(out))
        }
    }
}

/// The tag of a 304: the one of the client's (`conditions` are its `If-None-Match` fields) that the API found to match,
/// because that names what the client has (RFC 9110 section 15.4.5). `coding` is what it would get now, which decides
/// where it has more than one form. `None` where the API's tag stays as it is.
pub fn of_not_modified<'a>(
    tag: &[u8],
    conditions: impl IntoIterator<Item = &'a [u8]>,
    coding: Option<Coding>,
) -> Option<Vec<u8>> {
    let own = Tag::parse(tag)?;
    let is_own = |condition: Tag<'_>| match condition.unmarked()? {
        (same, Mark::Coded(form)) if same.text == own.text && !own.weak => Some(form),
        _ => None,
    };
    let mut held: Option<Coding> = None;
    for form in conditions.into_iter().flat_map(list).filter_map(is_own) {
        if held.is_none() || Some(form) == coding {
            held = Some(form);
        }
    }
    mark(tag, held)
}

/// The tags of a list, as far as it is one.
fn list(field: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let (tag, after) = Tag::take(skip_separators(rest.take()?))?;
        rest = Some(after);
        Some(tag)
    })
}

/// Whether the field is a list of tags to its end.
fn is_list(field: &[u8]) -> bool {
    let mut rest = skip_separators(field);
    while !rest.is_empty() {
        let Some((_, after)) = Tag::take(rest) else { return false };
        let next = skip_separators(after);
        // Two tags have a comma between them.
        if !next.is_empty() && !after.get(..after.len() - next.len()).is_some_and(|gap| gap.contains(&b',')) {
            return false;
        }
        rest = next;
    }
    true
}

fn skip_separators(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| !matches!(octet, b' ' | b'\t' | b','));
    start.and_then(|start| octets.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(octets: Option<Vec<u8>>) -> Option<String> {
        octets.map(|octets| String::from_utf8(octets).expect("text"))
    }

    fn marked(tag: &str, coding: Option<Coding>) -> String {
        text(mark(tag.as_bytes(), coding)).unwrap_or_else(|| tag.to_owned())
    }

    fn unmarked(field: &str) -> String {
        text(unmark(field.as_bytes(), |_| true)).unwrap_or_else(|| field.to_owned())
    }

    #[test]
    fn a_strong_tag_names_its_coding() {
        use Coding::{Brotli, Gzip, Zstd};
        for (tag, coding, expected) in [
            (r#""v3""#, Some(Gzip), r#""v3-gz""#),
            (r#""v3""#, Some(Brotli), r#""v3-br""#),
            (r#""v3""#, Some(Zstd), r#""v3-zst""#),
            (r#""v3""#, None, r#""v3""#),
            (r#"W/"v3""#, Some(Gzip), r#"W/"v3""#),
            (r#""x-gz""#, None, r#""x-gz-id""#),
            (r#""x-gz""#, Some(Gzip), r#""x-gz-gz""#),
            (r#"W/"x-br""#, Some(Gzip), r#"W/"x-br-id""#),
            (r#""x-id""#, None, r#""x-id-id""#),
            ("v3", Some(Gzip), "v3"),
        ] {
            assert_eq!(marked(tag, coding), expected, "{tag} {coding:?}");
        }
    }

    #[test]
    fn conditions_come_back_in_lists_and_weak() {
        for (field, expected) in [
            (r#""v3-gz""#, r#""v3""#),
            (r#"W/"v3-br""#, r#"W/"v3""#),
            (r#""a-gz" ,"b", W/"c-zst""#, r#""a", "b", W/"c""#),
            (r#""a,b-gz", "c""#, r#""a,b", "c""#),
            (r#",, "a-gz",,"#, r#""a""#),
            (r#""x-gz-id""#, r#""x-gz""#),
            ("*", "*"),
            (r#""v3", "v4""#, r#""v3", "v4""#),
            // No list of tags: the API is to say what it thinks of it.
            (r#""v3-gz" "v4""#, r#""v3-gz" "v4""#),
            (r#""v3-gz", oops"#, r#""v3-gz", oops"#),
            (r#""v3-gz"#, r#""v3-gz"#),
            (r#"w/"v3-gz""#, r#"w/"v3-gz""#),
        ] {
            assert_eq!(unmarked(field), expected, "{field}");
        }
    }

    #[test]
    fn what_does_not_count_is_left_out() {
        let gzip = |field: &str| text(unmark(field.as_bytes(), |coding| coding == Coding::Gzip));
        assert_eq!(gzip(r#""a-br", "b-gz", "c", "d-br-id""#).as_deref(), Some(r#""b", "c", "d-br""#));
        assert_eq!(gzip(r#""a-br""#).as_deref(), Some(""));
    }

    #[test]
    fn the_rest_of_compressed_octets_is_not_asked_for() {
        let asked = |text: &'static str| Range::Asked(Cow::Borrowed(text.as_bytes()));
        assert_eq!(unmark_range(br#""v3-gz""#), Range::Whole);
        assert_eq!(unmark_range(br#""v3""#), asked(r#""v3""#));
        assert_eq!(unmark_range(br#""x-gz-id""#), asked(r#""x-gz""#));
        let date = "Tue, 24 Nov 2026 15:00:00 GMT";
        assert_eq!(unmark_range(date.as_bytes()), asked(date));
    }

    #[test]
    fn a_304_names_what_the_client_has() {
        let shown = |conditions: &[&'static str], coding| {
            text(of_not_modified(br#""v3""#, conditions.iter().map(|text| text.as_bytes()), coding))
        };
        let both = r#""v3-gz", "v3-br""#;
        assert_eq!(shown(&[r#""v2", "v3-gz""#], None).as_deref(), Some(r#""v3-gz""#));
        assert_eq!(shown(&[both], Some(Coding::Brotli)).as_deref(), Some(r#""v3-br""#));
        assert_eq!(shown(&[both], Some(Coding::Zstd)).as_deref(), Some(r#""v3-gz""#));
        assert_eq!(shown(&["*"], Some(Coding::Zstd)), None);
        assert_eq!(shown(&[r#""v3""#, r#""v2-gz""#], Some(Coding::Gzip)), None);
    }

    fn any_tag() -> impl Strategy<Value = String> {
        ("(W/)?", "[!#-~]{0,8}", "(-gz|-br|-zst|-id|)(-gz|-id|)")
            .prop_map(|(weak, text, end)| format!("{weak}\"{text}{end}\""))
    }

    fn any_coding() -> impl Strategy<Value = Option<Coding>> {
        prop_oneof![Just(None), Just(Some(Coding::Zstd)), Just(Some(Coding::Brotli)), Just(Some(Coding::Gzip))]
    }

    proptest! {
        #[test]
        fn every_tag_of_the_api_comes_back_as_it_was(tag in any_tag(), coding in any_coding()) {
            prop_assert_eq!(unmarked(&marked(&tag, coding)), tag);
        }

        #[test]
        fn lists_come_back_member_by_member(tags in proptest::collection::vec((any_tag(), any_coding()), 1..5)) {
            let sent: Vec<_> = tags.iter().map(|(tag, coding)| marked(tag, *coding)).collect();
            let own: Vec<_> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
            prop_assert_eq!(unmarked(&sent.join(", ")), own.join(", "));
        }

        /// No two different answers share a strong tag: the tag tells the API's tag and the coding.
        #[test]
        fn different_octets_have_different_tags(
            one in any_tag(), other in any_tag(), coding in any_coding(), other_coding in any_coding()
        ) {
            let same = marked(&one, coding) == marked(&other, other_coding);
            let weak = one.starts_with('W');
            prop_assert_eq!(same, one == other && (weak || coding == other_coding));
        }

        #[test]
        fn any_octets_are_survived(octets in any::<Vec<u8>>(), coding in any_coding()) {
            let _ = (mark(&octets, coding), unmark(&octets, |_| true), unmark_range(&octets));
            let _ = of_not_modified(&octets, [octets.as_slice()], coding);
        }
    }
}
