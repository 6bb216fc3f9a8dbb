//! The parsers of compression: what a client takes, and entity tags.

#[path = "../../gateway/src/response/entity_tag.rs"]
pub mod entity_tag;
#[path = "../../gateway/src/response/negotiation.rs"]
pub mod negotiation;

use negotiation::{Accepted, Coding};

/// `Accept-Encoding`: nobody is sent what they refuse, and it makes no difference over how many fields a list is spread.
pub fn accept_encoding(octets: &[u8]) {
    let accepted = Accepted::parse([octets]);
    assert_eq!(Accepted::parse(octets.split(|octet| *octet == b',')), accepted, "one field or many");
    match accepted.choose(&Coding::ALL) {
        Some(coding) => {
            assert!(accepted.takes(coding));
            assert_eq!(accepted.choose(&[coding]), Some(coding), "alone as among others");
        }
        None => assert!(Coding::ALL.iter().all(|coding| accepted.choose(&[*coding]).is_none())),
    }
}

/// Entity tags: every tag of the API's comes back as it was, in whatever coding it went out, and a list keeps its members.
pub fn entity_tag(octets: &[u8]) {
    let codings = Coding::ALL.into_iter().map(Some).chain([None]);
    let forms: Vec<Vec<u8>> =
        codings.map(|coding| entity_tag::mark(octets, coding).unwrap_or_else(|| octets.to_vec())).collect();
    if entity_tag::is_valid(octets) {
        for form in &forms {
            assert!(entity_tag::is_valid(form));
            let back = entity_tag::unmark(form, |_| true).unwrap_or_else(|| form.clone());
            assert_eq!(back, octets);
        }
        let list = forms.join(&b", "[..]);
        let back = entity_tag::unmark(&list, |_| true).unwrap_or(list);
        assert_eq!(back, vec![octets; forms.len()].join(&b", "[..]));
    }
    if let Some(own) = entity_tag::unmark(octets, |_| true) {
        assert!(own.len() < octets.len() || octets.contains(&b','), "something was taken away");
    }
    let _ = entity_tag::unmark(octets, |_| false);
    let _ = (entity_tag::unmark_range(octets), entity_tag::of_not_modified(octets, [octets], Some(Coding::Gzip)));
}
