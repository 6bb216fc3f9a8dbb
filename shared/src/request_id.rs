//! The request id: one name for one request in both tiers' logs, answers and problem documents.
//!
//! The gateway takes an inbound id only from a trusted proxy and makes one otherwise; the API takes the gateway's.
//! Whoever takes one checks its form, because it is echoed into headers, documents and logs.

use std::fmt;

use uuid::Uuid;

/// The header that carries the id, in both directions.
pub const HEADER: &str = "x-request-id";

/// The longest id that is taken from outside, in octets.
const LONGEST: usize = 64;

/// An id that is safe to echo: 1 to 64 of `A-Z a-z 0-9 - _`.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId {
    length: u8,
    octets: [u8; LONGEST],
}

impl RequestId {
    /// A fresh id: a `UUIDv7`, so that ids sort by time in a log.
    pub fn fresh() -> Self {
        let mut octets = [0; LONGEST];
        let length = Uuid::now_v7().as_hyphenated().encode_lower(&mut octets).len();
        Self { length: u8::try_from(length).unwrap_or(0), octets }
    }

    /// The id that a peer sent, if it is safe to echo.
    pub fn accept(inbound: &[u8]) -> Option<Self> {
        let safe = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if inbound.is_empty() || !inbound.iter().all(safe) {
            return None;
        }
        let mut octets = [0; LONGEST];
        octets.get_mut(..inbound.len())?.copy_from_slice(inbound);
        Some(Self { length: u8::try_from(inbound.len()).ok()?, octets })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.octets
            .get(..usize::from(self.length))
            .and_then(|octets| std::str::from_utf8(octets).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fresh_ids_differ_and_are_acceptable() {
        let (first, second) = (RequestId::fresh(), RequestId::fresh());
        assert_ne!(first, second);
        assert_eq!(RequestId::accept(first.as_str().as_bytes()), Some(first));
    }

    #[test]
    fn the_bounds_are_sharp() {
        assert!(RequestId::accept(&[b'a'; 64]).is_some());
        assert!(RequestId::accept(&[b'a'; 65]).is_none());
        assert!(RequestId::accept(b"").is_none());
    }

    proptest! {
        #[test]
        fn what_is_accepted_comes_back_unchanged_and_safe(inbound in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(id) = RequestId::accept(&inbound) {
                prop_assert_eq!(id.as_str().as_bytes(), &inbound[..]);
                prop_assert!(id.as_str().bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"' && octet != b'\\'));
            }
        }
    }
}
