//! Which content coding an answer gets: what the client accepts (RFC 9110 section 12.5.3), weighed against the order in
//! which the configuration prefers them.

use std::str::FromStr;

/// A content coding that the gateway applies (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in `Content-Encoding`, in the configuration and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl FromStr for Coding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|coding| coding.as_str() == text);
        known.ok_or_else(|| format!("expected `zstd`, `br` or `gzip`, not `{text}`"))
    }
}

/// A weight in thousandths (RFC 9110 section 12.4.2).
type Weight = u16;

const FULL: Weight = 1000;

/// What a request's `Accept-Encoding` says. Without the field nothing is accepted: any coding would be allowed then, but
/// whoever does not ask for one can seldom undo it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    codings: [Option<Weight>; Coding::ALL.len()],
    identity: Option<Weight>,
    any: Option<Weight>,
}

impl Accepted {
    /// Reads every field of the name, as one list. A member that makes no sense is passed over; of two for the same
    /// coding the first one counts.
    pub fn parse<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut accepted = Self::default();
        for member in fields.into_iter().flat_map(|field| field.split(|octet| *octet == b',')) {
            let Some((name, weight)) = read_member(member) else { continue };
            let slot = if name.eq_ignore_ascii_case(b"identity") {
                &mut accepted.identity
            } else if name == b"*" {
                &mut accepted.any
            } else if let Some(slot) = accepted.slot(name) {
                slot
            } else {
                continue;
            };
            slot.get_or_insert(weight);
        }
        accepted
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<Weight>> {
        // RFC 9110 section 8.4.1.3: the old name means the same.
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        let mut known = Coding::ALL.into_iter().zip(&mut self.codings);
        known.find(|(coding, _)| name.eq_ignore_ascii_case(coding.as_str().as_bytes())).map(|(_, slot)| slot)
    }

    /// The coding of highest weight, of equal ones the one that stands first in `preferred`; none where the client would
    /// rather have the plain octets, or has to.
    pub fn choose(&self, preferred: &[Coding]) -> Option<Coding> {
        // Plain octets that are not mentioned are accepted, but nobody prefers them.
        let plain = self.identity.or(self.any).unwrap_or(0);
        let mut best: Option<(Coding, Weight)> = None;
        for coding in preferred {
            let weight = self.weight(*coding);
            if weight > 0 && weight >= plain && best.is_none_or(|(_, most)| weight > most) {
                best = Some((*coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }

    /// Whether the client takes this coding at all.
    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    fn weight(&self, coding: Coding) -> Weight {
        let own = Coding::ALL.into_iter().zip(self.codings).find(|(known, _)| *known == coding);
        own.and_then(|(_, weight)| weight).or(self.any).unwrap_or(0)
    }

    /// Whether plain octets are refused: by `identity;q=0`, or by `*;q=0` where they are not named.
    pub fn refuses_plain(&self) -> bool {
        self.identity.or(self.any) == Some(0)
    }
}

/// One member of the list: a name and, after it, possibly a weight.
fn read_member(member: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = member.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = match parts.next() {
        None => FULL,
        Some(parameter) => {
            let (key, value) = parameter.split_at_checked(2)?;
            key.eq_ignore_ascii_case(b"q=").then(|| read_weight(value))??
        }
    };
    parts.next().is_none().then_some((name, weight))
}

/// `0` to `1` with at most three decimals.
fn read_weight(text: &[u8]) -> Option<Weight> {
    let (whole, decimals) = match text {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => FULL,
        _ => return None,
    };
    for (digit, place) in decimals.iter().zip([100, 10, 1]) {
        weight += Weight::from(digit.is_ascii_digit().then(|| digit - b'0')?) * place;
    }
    (weight <= FULL).then_some(weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(field: &str) -> Option<Coding> {
        Accepted::parse([field.as_bytes()]).choose(&Coding::ALL)
    }

    #[test]
    fn the_heaviest_wins_and_among_equals_the_preferred() {
        use Coding::{Brotli, Gzip, Zstd};
        for (field, coding) in [
            ("gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("br;q=0.5 , gzip ; Q=0.500", Some(Brotli)),
            ("X-GZIP", Some(Gzip)),
            ("*", Some(Zstd)),
            ("zstd;q=0, *", Some(Brotli)),
            ("gzip;q=0.2, *;q=0.1", Some(Gzip)),
            ("deflate, compress", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000, br;q=0", None),
            ("", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("identity;q=0", None),
            ("gzip;q=0, gzip", None),
        ] {
            assert_eq!(chosen(field), coding, "{field}");
        }
        assert_eq!(Accepted::parse([&b"gzip;q=0.1"[..], b"br"]).choose(&[Gzip, Brotli]), Some(Brotli));
        assert_eq!(Accepted::parse([&b"br, gzip"[..]]).choose(&[Gzip, Brotli]), Some(Gzip));
        assert_eq!(Accepted::parse([]).choose(&Coding::ALL), None);
        assert_eq!(Accepted::parse([&b"*"[..]]).choose(&[]), None);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        for member in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=",
            "gzip;q=x",
            "gzip;v=1",
            "gzip;q=1;q=1",
            ";q=1",
            "gz ip",
        ] {
            assert_eq!(chosen(member), None, "{member}");
            assert_eq!(chosen(&format!("{member}, br;q=0.1")), Some(Coding::Brotli), "{member}");
        }
    }

    #[test]
    fn plain_octets_are_refused_only_by_a_word() {
        let refuses = |field: &str| Accepted::parse([field.as_bytes()]).refuses_plain();
        assert!(refuses("identity;q=0") && refuses("*;q=0") && refuses("gzip, *;q=0.0"));
        assert!(!refuses("") && !refuses("gzip") && !refuses("*;q=0, identity;q=0.1") && !refuses("*"));
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(fields in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let accepted = Accepted::parse(fields.iter().map(Vec::as_slice));
            let _ = accepted.choose(&Coding::ALL);
        }

        /// The choice is never one that the client refuses or that weighs less than another or than plain octets.
        #[test]
        fn nobody_gets_what_they_want_less(weights in proptest::collection::vec(proptest::option::of(0_u16..=1000), 5)) {
            let names = ["zstd", "br", "gzip", "identity", "*"];
            let members = names.iter().zip(&weights).filter_map(|(name, weight)| {
                weight.map(|weight| format!("{name};q={}.{:03}", weight / 1000, weight % 1000))
            });
            let field = members.collect::<Vec<_>>().join(",");
            let weight = |at: usize| weights[at].or(weights[4]);
            let best = (0..3).filter_map(weight).max().unwrap_or(0);
            match chosen(&field) {
                Some(coding) => {
                    let at = Coding::ALL.iter().position(|known| *known == coding).expect("known");
                    prop_assert_eq!(weight(at), Some(best));
                    prop_assert!(best > 0 && best >= weight(3).unwrap_or(0));
                }
                None => prop_assert!(best == 0 || best < weight(3).unwrap_or(0)),
            }
        }
    }
}
