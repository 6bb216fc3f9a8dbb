//! Instants: UTC, microseconds, as both databases keep them and as the contract writes them.

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde::Serializer;

use super::Fault;

/// The present, in whole microseconds (PostgreSQL keeps no more, so an answer equals what is read later).
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Reads RFC 3339 with any offset. Finer than microseconds is cut off.
///
/// # Errors
/// Not RFC 3339, or outside the years 1 to 9998 (what both databases can keep and sort).
pub fn parse(text: &str) -> Result<DateTime<Utc>, Fault> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        // By way of the epoch: a leap second becomes the second after it, and nothing finer than 1 µs stays.
        .and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros()))
        .filter(|time| (1..9999).contains(&time.year()))
        .ok_or_else(|| Fault::new("invalid", "Expected a time like 2026-03-29T09:00:00Z (RFC 3339)."))
}

/// Writes RFC 3339 with `Z` and microseconds.
pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

/// Like [`serialize`], for a time that may be absent.
pub fn serialize_optional<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(time: DateTime<Utc>) -> String {
        serialize(&time, serde_json::value::Serializer).expect("a string").as_str().expect("a string").to_owned()
    }

    #[test]
    fn any_offset_becomes_utc() {
        let time = parse("2026-03-29T09:00:00.1234567+02:00").expect("a time");
        assert_eq!(written(time), "2026-03-29T07:00:00.123456Z");
        assert_eq!(written(parse("2016-12-31T23:59:60Z").expect("a leap second")), "2017-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "2026-03-29",
            "2026-03-29T09:00:00",
            "2026-13-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in -62_135_596_800_000_000_i64..253_370_764_800_000_000) {
            let time = DateTime::from_timestamp_micros(micros).expect("in range");
            prop_assert_eq!(parse(&written(time)), Ok(time));
        }

        #[test]
        fn text_sorts_as_time_does(a in 0_i64..4_000_000_000_000_000, b in 0_i64..4_000_000_000_000_000) {
            let time = |micros| DateTime::from_timestamp_micros(micros).expect("in range");
            prop_assert_eq!(time(a).cmp(&time(b)), written(time(a)).cmp(&written(time(b))));
        }
    }
}
