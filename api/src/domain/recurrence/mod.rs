//! How a todo recurs: the subset of RFC 5545 section 3.3.10 of the contract (FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT, UNTIL).
//!
//! The grammar and its limits are ours, kept in one canonical spelling; the calendar is the crate `rrule`'s. Reckoning happens
//! in the todo's own zone, so nine o'clock stays nine o'clock over a change of daylight saving. The due date is the
//! start of the series: completing a todo makes one that is due at the first date of the rule after it, and `COUNT`
//! counts down on the way.

mod grammar;

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, Utc};
use rrule::{Frequency, NWeekday, RRule, Unvalidated};

use self::grammar::{
    code, invalid, join, list, read_count, read_day, read_frequency, read_interval, read_month_day, read_until,
};
use super::{Fault, time_zone::TimeZone};

/// The longest text that is read, in octets.
const LONGEST: usize = 300;
/// How far ahead the next date is looked for: a rule without one by then has ended. The rarest date, a 29 February on a given
/// weekday, comes again within 40 years. A rule without any date is searched to the end, while its user's row is locked.
const HORIZON: Days = Days::new(366 * 40);

/// A recurrence rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    frequency: Frequency,
    interval: u16,
    by_day: Vec<NWeekday>,
    by_month_day: Vec<i8>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Never,
    /// So many dates, the present one among them.
    Count(u32),
    /// No date after this day (in the todo's zone).
    Day(NaiveDate),
    /// No date after this instant.
    Instant(DateTime<Utc>),
}

impl Recurrence {
    /// Reads a rule like `FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH`, in any case and order, with or without `RRULE:`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault::new("too_long", "At most 300 characters."));
        }
        let text = text.to_ascii_uppercase();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text);
        let (mut frequency, mut interval, mut by_day, mut by_month_day, mut end) = (None, None, None, None, None);
        for part in text.split(';') {
            let (name, value) = part.split_once('=').ok_or_else(|| invalid("Expected parts like FREQ=DAILY."))?;
            let twice = match name {
                "FREQ" => frequency.replace(read_frequency(value)?).is_some(),
                "INTERVAL" => interval.replace(read_interval(value)?).is_some(),
                "BYDAY" => by_day.replace(list(value, read_day)?).is_some(),
                "BYMONTHDAY" => by_month_day.replace(list(value, read_month_day)?).is_some(),
                "COUNT" => end.replace(read_count(value)?).is_some(),
                "UNTIL" => end.replace(read_until(value)?).is_some(),
                _ => return Err(invalid("Only FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT and UNTIL.")),
            };
            if twice {
                return Err(invalid("Each part at most once, and COUNT or UNTIL but not both."));
            }
        }
        let rule = Self {
            frequency: frequency.ok_or_else(|| invalid("FREQ is required."))?,
            interval: interval.unwrap_or(1),
            by_day: by_day.unwrap_or_default(),
            by_month_day: by_month_day.unwrap_or_default(),
            end: end.unwrap_or(End::Never),
        };
        rule.agrees()?;
        Ok(rule)
    }

    /// The rules between parts (RFC 5545 section 3.3.10).
    fn agrees(&self) -> Result<(), Fault> {
        let numbered = self.by_day.iter().any(|day| matches!(day, NWeekday::Nth(..)));
        if numbered && !matches!(self.frequency, Frequency::Monthly | Frequency::Yearly) {
            return Err(invalid("A numbered BYDAY needs FREQ=MONTHLY or FREQ=YEARLY."));
        }
        if self.frequency == Frequency::Weekly && !self.by_month_day.is_empty() {
            return Err(invalid("BYMONTHDAY does not go with FREQ=WEEKLY."));
        }
        Ok(())
    }

    /// The date after `due`, and the rule from there on. `None` when `due` was the last.
    pub fn next(&self, due: DateTime<Utc>, zone: Option<TimeZone>) -> Option<(DateTime<Utc>, Self)> {
        let end = match self.end {
            End::Count(0 | 1) => return None,
            End::Count(left) => End::Count(left - 1),
            end => end,
        };
        let zone = zone.map_or(chrono_tz::UTC, TimeZone::zone);
        let start = due.with_timezone(&rrule::Tz::Tz(zone));
        let horizon = start.checked_add_days(HORIZON)?;
        let dates = self.rule().build(start).ok()?.before(horizon).all(2).dates;
        let next = dates.into_iter().find(|date| *date > start)?;
        let is_over = match end {
            End::Day(last) => next.date_naive() > last,
            End::Instant(last) => next > last,
            End::Never | End::Count(_) => false,
        };
        (!is_over).then(|| (next.with_timezone(&Utc), Self { end, ..self.clone() }))
    }

    fn rule(&self) -> RRule<Unvalidated> {
        RRule::new(self.frequency)
            .interval(self.interval)
            .by_weekday(self.by_day.clone())
            .by_month_day(self.by_month_day.clone())
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frequency = match self.frequency {
            Frequency::Daily => "DAILY",
            Frequency::Weekly => "WEEKLY",
            Frequency::Monthly => "MONTHLY",
            _ => "YEARLY",
        };
        write!(formatter, "FREQ={frequency}")?;
        if self.interval != 1 {
            write!(formatter, ";INTERVAL={}", self.interval)?;
        }
        let days = self.by_day.iter().map(|day| match day {
            NWeekday::Every(day) => code(*day).to_owned(),
            NWeekday::Nth(number, day) => format!("{number}{}", code(*day)),
        });
        join(formatter, "BYDAY", days)?;
        join(formatter, "BYMONTHDAY", self.by_month_day.iter().map(ToString::to_string))?;
        match self.end {
            End::Never => Ok(()),
            End::Count(count) => write!(formatter, ";COUNT={count}"),
            End::Day(day) => write!(formatter, ";UNTIL={}", day.format("%Y%m%d")),
            End::Instant(time) => write!(formatter, ";UNTIL={}", time.format("%Y%m%dT%H%M%SZ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Recurrence {
        Recurrence::parse(text).expect("a rule")
    }

    fn time(text: &str) -> DateTime<Utc> {
        crate::domain::time::parse(text).expect("a time")
    }

    fn next(text: &str, due: &str, zone: &str) -> Option<(String, String)> {
        let zone = TimeZone::parse(zone).expect("a zone");
        rule(text).next(time(due), Some(zone)).map(|(next, rule)| (next.to_rfc3339(), rule.to_string()))
    }

    fn due(text: &str, due: &str, zone: &str) -> String {
        next(text, due, zone).map(|(due, _)| due).unwrap_or_default()
    }

    #[test]
    fn nine_o_clock_stays_nine_o_clock() {
        // Daylight saving ends on 25 October 2026 in Berlin and begins on 28 March 2027.
        assert_eq!(due("FREQ=DAILY", "2026-10-24T07:00:00Z", "Europe/Berlin"), "2026-10-25T08:00:00+00:00");
        assert_eq!(due("FREQ=DAILY", "2027-03-27T08:00:00Z", "Europe/Berlin"), "2027-03-28T07:00:00+00:00");
        assert_eq!(due("FREQ=DAILY", "2026-10-24T07:00:00Z", "UTC"), "2026-10-25T07:00:00+00:00");
    }

    #[test]
    fn the_calendar() {
        let table = [
            ("FREQ=WEEKLY;BYDAY=MO,TH", "2026-11-23T09:00:00Z", "2026-11-26T09:00:00+00:00"),
            ("FREQ=WEEKLY;INTERVAL=2", "2026-11-23T09:00:00Z", "2026-12-07T09:00:00+00:00"),
            ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31T09:00:00Z", "2026-02-28T09:00:00+00:00"),
            ("FREQ=MONTHLY;BYDAY=-1FR", "2026-11-27T09:00:00Z", "2026-12-25T09:00:00+00:00"),
            // The 31st exists in some months only, the 29th of February in some years only.
            ("FREQ=MONTHLY", "2026-01-31T09:00:00Z", "2026-03-31T09:00:00+00:00"),
            ("FREQ=YEARLY", "2028-02-29T09:00:00Z", "2032-02-29T09:00:00+00:00"),
            ("FREQ=MONTHLY;INTERVAL=12;BYDAY=MO;BYMONTHDAY=29", "2072-02-29T09:00:00Z", "2112-02-29T09:00:00+00:00"),
            // The start need not be one of the rule's dates.
            ("FREQ=WEEKLY;BYDAY=MO", "2026-11-24T09:00:00Z", "2026-11-30T09:00:00+00:00"),
        ];
        for (rule, from, to) in table {
            assert_eq!(due(rule, from, "UTC"), to, "{rule}");
        }
    }

    #[test]
    fn every_series_ends_where_it_says() {
        let after = |text| next(text, "2026-11-23T09:00:00Z", "UTC").map(|(_, rule)| rule);
        assert_eq!(after("FREQ=DAILY;COUNT=3").as_deref(), Some("FREQ=DAILY;COUNT=2"));
        assert_eq!(after("FREQ=DAILY;COUNT=1"), None);
        assert_eq!(after("FREQ=DAILY;UNTIL=20261124").as_deref(), Some("FREQ=DAILY;UNTIL=20261124"));
        assert_eq!(after("FREQ=DAILY;UNTIL=20261123"), None);
        assert_eq!(after("FREQ=DAILY;UNTIL=20261124T085959Z"), None);
    }

    #[test]
    fn a_rule_that_never_comes_ends_quickly() {
        let began = std::time::Instant::now();
        assert_eq!(next("FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31", "2026-02-01T09:00:00Z", "UTC"), None);
        assert_eq!(next("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-11-24T09:00:00Z", "UTC"), None);
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_not_in_the_subset_is_refused() {
        for text in [
            "",
            "FREQ",
            "DAILY",
            "FREQ=HOURLY",
            "INTERVAL=2",
            "FREQ=DAILY;INTERVAL=0",
            "FREQ=DAILY;INTERVAL=1001",
            "FREQ=DAILY;COUNT=+1",
            "FREQ=DAILY;COUNT=1;UNTIL=20260101",
            "FREQ=DAILY;FREQ=DAILY",
            "FREQ=DAILY;BYHOUR=9",
            "FREQ=WEEKLY;BYDAY=1MO",
            "FREQ=WEEKLY;BYMONTHDAY=1",
            "FREQ=MONTHLY;BYDAY=0MO",
            "FREQ=MONTHLY;BYMONTHDAY=32",
            "FREQ=DAILY;UNTIL=2026",
            "FREQ=DAILY;",
            "FREQ=DAILY;BYDAY=é",
        ] {
            assert!(Recurrence::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_text_is_read_as_the_same(
            frequency in prop::sample::select(vec!["DAILY", "MONTHLY", "YEARLY"]), interval in 1_u16..=1000,
            days in prop::collection::vec(prop::sample::select(vec!["MO", "TU", "SU"]), 0..3),
            month_days in prop::collection::vec(prop_oneof![-31_i8..=-1, 1_i8..=31], 0..3), end in prop::sample::select(vec!["", ";COUNT=5", ";UNTIL=20301231"]),
        ) {
            let mut text = format!("freq={frequency};INTERVAL={interval}{end}");
            if !days.is_empty() { text = text + ";BYDAY=" + &days.join(","); }
            let month_days: Vec<_> = month_days.iter().map(ToString::to_string).collect();
            if !month_days.is_empty() { text = text + ";BYMONTHDAY=" + &month_days.join(","); }
            let read = rule(&text);
            prop_assert_eq!(Recurrence::parse(&read.to_string()), Ok(read.clone()));
            if let Some((next, _)) = read.next(time("2026-11-23T09:00:00Z"), None) {
                prop_assert!(next > time("2026-11-23T09:00:00Z"));
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,60}") {
            let _ = Recurrence::parse(&text);
        }
    }
}
