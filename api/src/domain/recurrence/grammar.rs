//! The parts of a rule, read and written.

use std::fmt;

use chrono::{NaiveDate, NaiveDateTime, TimeZone, Utc};
use rrule::{Frequency, NWeekday, Weekday};

use super::End;
use crate::domain::Fault;

/// The largest interval; also what `rrule` takes.
const MOST_INTERVAL: u16 = 1000;
pub(super) fn invalid(detail: &'static str) -> Fault {
    Fault::new("invalid", detail)
}

pub(super) fn read_frequency(value: &str) -> Result<Frequency, Fault> {
    match value {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        "YEARLY" => Ok(Frequency::Yearly),
        _ => Err(invalid("FREQ is DAILY, WEEKLY, MONTHLY or YEARLY.")),
    }
}

pub(super) fn read_interval(value: &str) -> Result<u16, Fault> {
    number(value)
        .filter(|interval| (1..=MOST_INTERVAL).contains(interval))
        .ok_or_else(|| invalid("INTERVAL is 1 to 1000."))
}

pub(super) fn read_count(value: &str) -> Result<End, Fault> {
    number(value)
        .filter(|count| (1..=100_000).contains(count))
        .map(End::Count)
        .ok_or_else(|| invalid("COUNT is 1 to 100000."))
}

pub(super) fn read_until(value: &str) -> Result<End, Fault> {
    let day = || NaiveDate::parse_from_str(value, "%Y%m%d").ok().filter(|_| value.len() == 8).map(End::Day);
    let instant = || {
        let time = NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%SZ").ok().filter(|_| value.len() == 16)?;
        Some(End::Instant(Utc.from_utc_datetime(&time)))
    };
    day().or_else(instant).ok_or_else(|| invalid("UNTIL is like 20261231 or 20261231T220000Z."))
}

pub(super) fn read_day(value: &str) -> Option<NWeekday> {
    let (number_text, name) = value.split_at_checked(value.len().checked_sub(2)?)?;
    let day = match name {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    };
    if number_text.is_empty() {
        return Some(NWeekday::Every(day));
    }
    signed(number_text)
        .filter(|number| (1..=53).contains(&number.unsigned_abs()))
        .map(|number| NWeekday::Nth(number, day))
}

pub(super) fn read_month_day(value: &str) -> Option<i8> {
    signed(value).filter(|day| (1..=31).contains(&day.unsigned_abs())).and_then(|day| day.try_into().ok())
}

pub(super) fn list<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Fault> {
    value
        .split(',')
        .map(read)
        .collect::<Option<_>>()
        .ok_or_else(|| invalid("BYDAY is like MO or -1FR, BYMONTHDAY like 1 or -1."))
}

/// Digits only: the sign and the blanks that Rust would take are not in the grammar.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

fn signed(text: &str) -> Option<i16> {
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("-", digits)) => (-1, digits),
        Some(("+", digits)) => (1, digits),
        _ => (1, text),
    };
    number::<i16>(digits).map(|value| sign * value)
}

pub(super) fn code(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "MO",
        Weekday::Tue => "TU",
        Weekday::Wed => "WE",
        Weekday::Thu => "TH",
        Weekday::Fri => "FR",
        Weekday::Sat => "SA",
        Weekday::Sun => "SU",
    }
}

pub(super) fn join(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    values: impl Iterator<Item = String>,
) -> fmt::Result {
    for (index, value) in values.enumerate() {
        if index == 0 {
            write!(formatter, ";{name}={value}")?;
        } else {
            write!(formatter, ",{value}")?;
        }
    }
    Ok(())
}
