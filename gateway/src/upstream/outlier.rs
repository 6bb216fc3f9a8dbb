//! Passive ejection: what the answers of an address say about it, compared with those of the others.
//!
//! An address is set aside after failures in a row (no connection, no answer, garbage, 5xx), or after answers in a row
//! that are far slower than what the others need. It comes back by itself, and stays away twice as long if it fails
//! again soon after. Time is a parameter, in milliseconds; the cap on how many are set aside is the upstream's to keep
//! ([`most_ejected`]).

use std::time::Duration;

/// When an address is set aside, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionRule {
    /// Failures, or slow answers, in a row; zero turns ejection off.
    pub after: u32,
    /// How many times slower than the others an answer has to be to count as slow; zero for never.
    pub slow_factor: u32,
    /// Faster than this is never slow.
    pub slow_floor: Duration,
    /// How long the first ejection lasts.
    pub time: Duration,
    /// How long the longest one lasts.
    pub max_time: Duration,
    /// Percent of the addresses that may be set aside at the same time.
    pub max_percent: u8,
}

/// Why an address was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It failed several times in a row.
    Errors,
    /// It was far slower than the others.
    Latency,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Errors, Self::Latency];

    /// As a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }
}

/// How many of these addresses may be set aside at the same time.
pub fn most_ejected(rule: &EjectionRule, total: usize) -> usize {
    total * usize::from(rule.max_percent.min(100)) / 100
}

/// Answers before an address's mean says anything.
const ENOUGH_ANSWERS: u32 = 10;

/// A new answer's part of the mean is one in so many.
const WEIGHT: u64 = 8;

/// What the answers of one address say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlier {
    failures: u32,
    slow: u32,
    answers: u32,
    /// Exponentially weighted mean of the time to an answer's head, in microseconds.
    mean: u64,
    /// How long the last ejection was, and when it ended, in milliseconds.
    last: Option<(u64, u64)>,
}

impl Outlier {
    /// Counts a failure; says whether that is enough.
    pub fn fail(&mut self, rule: &EjectionRule) -> Option<Reason> {
        self.failures = self.failures.saturating_add(1);
        (rule.after > 0 && self.failures >= rule.after).then_some(Reason::Errors)
    }

    /// Counts an answer that took this long, where the others need `usual`; says whether it was one slow answer too many.
    pub fn answer(&mut self, rule: &EjectionRule, took: Duration, usual: Option<Duration>) -> Option<Reason> {
        self.failures = 0;
        self.answers = self.answers.saturating_add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.mean = if self.answers == 1 { micros } else { self.mean - self.mean / WEIGHT + micros / WEIGHT };
        let is_slow = took >= rule.slow_floor
            && usual.is_some_and(|usual| rule.slow_factor > 0 && took >= usual.saturating_mul(rule.slow_factor));
        self.slow = if is_slow { self.slow.saturating_add(1) } else { 0 };
        (rule.after > 0 && self.slow >= rule.after).then_some(Reason::Latency)
    }

    /// What it usually needs, once that is known.
    pub fn mean(&self) -> Option<Duration> {
        (self.answers >= ENOUGH_ANSWERS).then(|| Duration::from_micros(self.mean))
    }

    /// Sets the address aside; says until when. What was counted so far is forgotten.
    pub fn eject(&mut self, rule: &EjectionRule, now: u64) -> u64 {
        let (first, most) = (millis(rule.time), millis(rule.max_time));
        let length = match self.last {
            // It has been back for less time than it was away: it is not well yet.
            Some((length, end)) if now < end.saturating_add(length) => length.saturating_mul(2),
            _ => first,
        };
        let length = length.clamp(1, most.max(1));
        let end = now.saturating_add(length);
        *self = Self { last: Some((length, end)), ..Self::default() };
        end
    }
}

/// The median of what addresses usually need; the lower one of two.
pub fn median(means: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut means: Vec<_> = means.collect();
    means.sort_unstable();
    means.get(means.len().checked_sub(1)? / 2).copied()
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn rule() -> EjectionRule {
        EjectionRule {
            after: 3,
            slow_factor: 4,
            slow_floor: Duration::from_millis(100),
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(60),
            max_percent: 50,
        }
    }

    const FAST: Option<Duration> = Some(Duration::from_millis(10));

    #[test]
    fn failures_in_a_row_and_slow_answers_in_a_row() {
        let mut outlier = Outlier::default();
        let fast = Duration::from_millis(5);
        assert_eq!((outlier.fail(&rule()), outlier.fail(&rule())), (None, None));
        assert_eq!(outlier.answer(&rule(), fast, FAST), None);
        assert_eq!((outlier.fail(&rule()), outlier.fail(&rule())), (None, None));
        assert_eq!(outlier.fail(&rule()), Some(Reason::Errors));
        let slow = Duration::from_millis(100);
        let mut outlier = Outlier::default();
        assert_eq!((outlier.answer(&rule(), slow, FAST), outlier.answer(&rule(), slow, FAST)), (None, None));
        assert_eq!(outlier.answer(&rule(), slow, FAST), Some(Reason::Latency));
        for (took, usual) in [(99, FAST), (100, Some(Duration::from_millis(26))), (100, None)] {
            let mut outlier = Outlier::default();
            let took = Duration::from_millis(took);
            assert!((0..9).all(|_| outlier.answer(&rule(), took, usual).is_none()), "{took:?} {usual:?}");
        }
        let off = EjectionRule { after: 0, ..rule() };
        assert_eq!(outlier.fail(&off), None);
    }

    #[test]
    fn it_stays_away_twice_as_long_unless_it_was_well_in_between() {
        let mut outlier = Outlier::default();
        assert_eq!(outlier.eject(&rule(), 0), 10_000);
        assert_eq!(outlier.eject(&rule(), 19_999), 39_999);
        assert_eq!(outlier.eject(&rule(), 50_000), 90_000);
        assert_eq!(outlier.eject(&rule(), 100_000), 160_000, "the longest");
        assert_eq!(outlier.eject(&rule(), 220_000), 230_000);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let of = |secs: &[u64]| median(secs.iter().copied().map(Duration::from_secs)).map(|middle| middle.as_secs());
        assert_eq!([of(&[]), of(&[9]), of(&[9, 1]), of(&[3, 9, 1])], [None, Some(9), Some(1), Some(3)]);
    }

    proptest! {
        #[test]
        fn whoever_is_set_aside_comes_back(gaps in proptest::collection::vec(0_u64..200_000, 1..30)) {
            let mut outlier = Outlier::default();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                let end = outlier.eject(&rule(), now);
                prop_assert!(end > now && end <= now + 60_000);
                now = end;
            }
        }

        #[test]
        fn the_mean_stays_between_the_extremes(times in proptest::collection::vec(0_u64..1_000_000, 10..50)) {
            let mut outlier = Outlier::default();
            for time in &times {
                outlier.answer(&rule(), Duration::from_micros(*time), None);
            }
            let mean = outlier.mean().expect("enough").as_micros();
            // Each step rounds down by less than two microseconds, of which a mean forgets all but the last few.
            let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
            prop_assert!(mean + 20 >= u128::from(*least) && mean <= u128::from(*most) + 20, "{mean}");
        }
    }
}
