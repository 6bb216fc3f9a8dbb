//! Time zones, by their names in the IANA database.

use super::Fault;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(chrono_tz::Tz);

impl TimeZone {
    /// What counts until somebody says otherwise.
    pub const UTC: Self = Self(chrono_tz::Tz::UTC);

    /// Reads an IANA name, in its own spelling.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let unknown = |_| Fault::new("unknown", "Expected an IANA time zone like Europe/Berlin.");
        text.parse().map(Self).map_err(unknown)
    }

    /// The IANA name.
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// The zone, for reckoning.
    pub fn zone(self) -> chrono_tz::Tz {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_what_the_database_names() {
        assert_eq!(TimeZone::parse("Europe/Berlin").expect("known").as_str(), "Europe/Berlin");
        for text in ["Mars/Olympus", "europe/berlin", "", "+01:00"] {
            assert_eq!(TimeZone::parse(text).expect_err("unknown").code, "unknown", "{text}");
        }
    }
}
