//! The parsers behind compression.

#[path = "../../gateway/src/response/entity_tag.rs"]
mod entity_tags;
#[path = "../../gateway/src/response/negotiation.rs"]
mod negotiation;

use negotiation::{Accepted, Coding};

/// Entity tags: a tag comes back as it went out, in whatever coding; two tags never go out as one; what goes out is a tag. The
/// lines are tags.
pub fn entity_tag(octets: &[u8]) {
    let tags: Vec<&[u8]> =
        octets.split(|octet| *octet == b'\n').filter(|tag| entity_tags::is_valid(tag)).take(4).collect();
    let codings = [None, Some(Coding::Zstd), Some(Coding::Brotli), Some(Coding::Gzip)];
    let sent = |tag: &[u8], coding| entity_tags::mark(tag, coding).unwrap_or_else(|| tag.to_vec());
    for tag in &tags {
        for coding in codings {
            let out = sent(tag, coding);
            assert!(entity_tags::is_valid(&out), "{}", String::from_utf8_lossy(&out));
            let back = entity_tags::unmark(&out, |_| true).unwrap_or_else(|| out.clone());
            assert_eq!(&back, tag, "another tag comes back");
            for other in &tags {
                for coding in codings {
                    assert!(other == tag || sent(other, coding) != out, "two tags go out as one");
                }
            }
        }
    }
    // Whatever a client says of tags.
    for counts in [true, false] {
        if let Some(own) = entity_tags::unmark(octets, |_| counts) {
            assert!(own.len() <= octets.len() * 2 + 2);
        }
    }
    let _ = entity_tags::unmark_range(octets);
}

/// `Accept-Encoding`: what is chosen is accepted and configured, and never what the client gives no weight to. The lines are
/// fields.
pub fn negotiation(octets: &[u8]) {
    let accepted = Accepted::parse(octets.split(|octet| *octet == b'\n'));
    for preferred in [&Coding::ALL[..], &[Coding::Gzip], &[Coding::Gzip, Coding::Zstd], &[]] {
        let chosen = accepted.choose(preferred);
        assert!(chosen.is_none_or(|coding| preferred.contains(&coding) && accepted.takes(coding)));
        assert!(
            chosen.is_some() || !accepted.refuses_plain() || !preferred.iter().any(|coding| accepted.takes(*coding))
        );
    }
    // One list, in however many fields it comes.
    let joined: Vec<u8> = octets.iter().map(|octet| if *octet == b'\n' { b',' } else { *octet }).collect();
    assert_eq!(Accepted::parse([&joined[..]]), accepted);
    for coding in Coding::ALL {
        assert_eq!(coding.as_str().parse(), Ok(coding));
    }
}
