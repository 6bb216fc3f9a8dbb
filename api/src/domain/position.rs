//! Where a todo stands in its list: an opaque string that sorts, in byte order, as the todos do.
//!
//! A position is a fraction written in base 62 (`0-9A-Za-z`), so there is always room between two different ones. A new
//! todo goes to the end with a position made of the time, which needs no look at its neighbours: appending is one
//! statement. Moving makes the shortest position between two neighbours; it grows by one character about every six
//! moves to the same place. What would be longer than [`LONGEST`], and two neighbours that are equal (two moves at the same
//! time), mean no room: the store then numbers the list anew, with `4000000001V`, `4000000002V` and so on, which sort before
//! the end that any time after 2004 makes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// The most octets of a position that is made; the database allows some more.
pub const LONGEST: usize = 128;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many digits a time has.
const TIME_DIGITS: usize = 9;

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Position(String);

/// Where to put a todo, as a client says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Right before this todo.
    Before(uuid::Uuid),
    /// Right after this todo.
    After(uuid::Uuid),
}

impl Place {
    /// The todo beside which it is.
    pub fn neighbour(self) -> uuid::Uuid {
        let (Self::Before(id) | Self::After(id)) = self;
        id
    }
}

impl Position {
    /// Takes what the database holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The end of a list as of `now`: after everything that was put at the end before.
    pub fn last(now: DateTime<Utc>) -> Self {
        let mut rest = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        let mut text = [b'0'; TIME_DIGITS];
        for place in text.iter_mut().rev() {
            *place = digit(rest % 62);
            rest /= 62;
        }
        // The last digit of a fraction is never 0, or there would be no room before it.
        Self(text.iter().map(|&octet| char::from(octet)).chain(['V']).collect())
    }

    /// A position between two neighbours, `None` meaning the start or the end of the list; at the end, `now` counts.
    /// No room is `None`.
    pub fn between(before: Option<&Self>, after: Option<&Self>, now: DateTime<Utc>) -> Option<Self> {
        let low = before.map_or("", Self::as_str).as_bytes();
        let made = match after {
            None => {
                let last = Self::last(now);
                if before.is_none_or(|before| *before < last) { last } else { Self(text(low, b'V')) }
            }
            Some(after) if low < after.0.as_bytes() => Self(middle(low, after.0.as_bytes())?),
            Some(_) => return None,
        };
        (made.0.len() <= LONGEST).then_some(made)
    }
}

fn digit(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|value| DIGITS.get(value)).copied().unwrap_or(b'0')
}

fn value(octet: u8) -> Option<u64> {
    DIGITS.iter().position(|&digit| digit == octet).and_then(|value| value.try_into().ok())
}

fn text(head: &[u8], tail: u8) -> String {
    head.iter().chain([&tail]).map(|&octet| char::from(octet)).collect()
}

/// The shortest fraction between two others, where `low < high` and neither ends in `0`.
fn middle(low: &[u8], high: &[u8]) -> Option<String> {
    let mut head = Vec::with_capacity(high.len() + 1);
    let mut bounded = true;
    for place in 0.. {
        let from = low.get(place).map_or(Some(0), |&octet| value(octet))?;
        let to = if bounded { high.get(place).map_or(Some(0), |&octet| value(octet))? } else { 62 };
        if to > from + 1 {
            return Some(text(&head, digit(u64::midpoint(from, to))));
        }
        // The digits are equal, or one apart: then whatever begins with the lower one is below `high`.
        bounded = bounded && to == from;
        head.push(digit(from));
        if head.len() > LONGEST {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).expect("in range")
    }

    #[test]
    fn the_end_follows_the_time() {
        let now = 1_790_000_000_000_000;
        assert!(Position::last(at(now)) < Position::last(at(now + 1)));
        assert!("4999999999V" < Position::last(at(now)).as_str());
        // Moving the last one to the end again and again does not grow.
        let mut last = Position::last(at(now));
        for later in 1..1000 {
            last = Position::between(Some(&last), None, at(now + later)).expect("room");
        }
        assert_eq!(last.as_str().len(), TIME_DIGITS + 1);
    }

    #[test]
    fn no_room_is_said_and_not_guessed() {
        let position = Position::last(at(1));
        assert_eq!(Position::between(Some(&position), Some(&position), at(2)), None);
        let mut first = Position::last(at(1_790_000_000_000_000));
        let mut moves = 0;
        while let Some(next) = Position::between(None, Some(&first), at(2)) {
            assert!(next < first);
            first = next;
            moves += 1;
        }
        assert!(moves > 500, "only {moves} moves to the front before the list is numbered anew");
    }

    proptest! {
        #[test]
        fn any_sequence_of_moves_keeps_the_order(moves in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..200)) {
            let mut list: Vec<Position> = vec![Position::last(at(1_790_000_000_000_000))];
            for (step, (place, append)) in (1_i64..).zip(moves) {
                let now = at(1_790_000_000_000_000 + step);
                let index = if append { list.len() } else { place.index(list.len() + 1) };
                let before = index.checked_sub(1).and_then(|index| list.get(index));
                let made = Position::between(before, list.get(index), now);
                prop_assert!(made.is_some() || list.iter().any(|position| position.0.len() >= LONGEST));
                if let Some(made) = made {
                    prop_assert!(!made.as_str().ends_with('0'));
                    list.insert(index, made);
                }
                prop_assert!(list.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
