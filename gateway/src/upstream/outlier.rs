//! Passive ejection: what the answers of an address say about it, compared with those of the others.
//!
//! An address is set aside after failures in a row (no connection, no answer, garbage, one that breaks off, 5xx), after
//! failures that are too large a part of its requests ([`Window`]), or after answers in a row that are far slower than
//! what the others need. It comes back by itself, and stays away twice as long if it fails again soon after. Time is a
//! parameter, in milliseconds; the cap on how many are set aside is the upstream's to keep ([`most_ejected`]).
//!
//! Every request counts here, so nothing is locked: each count is a word of its own. Two that come at the same time may
//! see each other's in either order, which no verdict depends on.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;

use crate::upstream::{mean::Mean, window::Window};

/// When an address is set aside, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionRule {
    /// Failures, or slow answers, in a row; zero for neither.
    pub after: u32,
    /// Percent of the requests in an interval that fail; zero for never.
    pub failure_percent: u8,
    /// How long such an interval is.
    pub interval: Duration,
    /// Requests in an interval before their percentage says anything.
    pub min_requests: u32,
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
    /// It failed too large a part of its requests.
    FailureRate,
    /// It was far slower than the others.
    Latency,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Errors, Self::FailureRate, Self::Latency];

    /// As a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::FailureRate => "failure_rate",
            Self::Latency => "latency",
        }
    }
}

#[cfg(test)]
impl EjectionRule {
    /// Three in a row, or half of ten.
    pub(crate) const fn for_tests() -> Self {
        Self {
            after: 3,
            failure_percent: 50,
            interval: Duration::from_secs(10),
            min_requests: 10,
            slow_factor: 4,
            slow_floor: Duration::from_millis(100),
            time: Duration::from_secs(10),
            max_time: Duration::from_mins(1),
            max_percent: 50,
        }
    }
}

/// How many of these addresses may be set aside at the same time.
pub fn most_ejected(rule: &EjectionRule, total: usize) -> usize {
    total * usize::from(rule.max_percent.min(100)) / 100
}

/// What the answers of one address say.
#[derive(Debug, Default)]
pub struct Outlier {
    /// Failures in a row.
    failures: AtomicU32,
    /// Slow answers in a row.
    slow: AtomicU32,
    mean: AtomicU64,
    window: AtomicU64,
    /// How long the last ejection was, and when it ended, in milliseconds.
    last: Mutex<Option<(u64, u64)>>,
}

impl Outlier {
    /// Counts a failure at this time; says whether that is enough.
    pub fn fail(&self, rule: &EjectionRule, now: u64) -> Option<Reason> {
        let in_a_row = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let window = self.count(rule, now, true);
        if rule.after > 0 && in_a_row >= rule.after {
            Some(Reason::Errors)
        } else {
            window.is_bad(rule).then_some(Reason::FailureRate)
        }
    }

    /// Counts an answer that came whole.
    pub fn succeed(&self, rule: &EjectionRule, now: u64) {
        self.failures.store(0, Relaxed);
        self.count(rule, now, false);
    }

    /// Ends a series of failures; what becomes of the stream is counted when it ends.
    pub fn begin_stream(&self) {
        self.failures.store(0, Relaxed);
    }

    fn count(&self, rule: &EjectionRule, now: u64, failed: bool) -> Window {
        let next = |word| Window(word).count(rule.interval, now, failed);
        let before = self.window.fetch_update(Relaxed, Relaxed, |word| Some(next(word).0));
        next(before.unwrap_or_else(|word| word))
    }

    /// Learns how long an answer took to begin, where the others need `usual`; says whether it was one slow answer too
    /// many.
    pub fn answer(&self, rule: &EjectionRule, took: Duration, usual: Option<Duration>) -> Option<Reason> {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let _ = self.mean.fetch_update(Relaxed, Relaxed, |word| Some(Mean(word).with(micros).0));
        let is_slow = took >= rule.slow_floor
            && usual.is_some_and(|usual| rule.slow_factor > 0 && took >= usual.saturating_mul(rule.slow_factor));
        if !is_slow {
            self.slow.store(0, Relaxed);
            return None;
        }
        let in_a_row = self.slow.fetch_add(1, Relaxed).saturating_add(1);
        (rule.after > 0 && in_a_row >= rule.after).then_some(Reason::Latency)
    }

    /// What it usually needs, once that is known.
    pub fn mean(&self) -> Option<Duration> {
        Mean(self.mean.load(Relaxed)).known()
    }

    /// Sets the address aside; says until when. What was counted so far is forgotten.
    pub fn eject(&self, rule: &EjectionRule, now: u64) -> u64 {
        let (first, most) = (millis(rule.time), millis(rule.max_time));
        let mut last = self.last.lock();
        let length = match *last {
            // It has been back for less time than it was away: it is not well yet.
            Some((length, end)) if now < end.saturating_add(length) => length.saturating_mul(2),
            _ => first,
        };
        let length = length.clamp(1, most.max(1));
        let end = now.saturating_add(length);
        *last = Some((length, end));
        self.failures.store(0, Relaxed);
        self.slow.store(0, Relaxed);
        self.mean.store(0, Relaxed);
        self.window.store(0, Relaxed);
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
        EjectionRule::for_tests()
    }

    const FAST: Option<Duration> = Some(Duration::from_millis(10));

    #[test]
    fn failures_in_a_row_and_slow_answers_in_a_row() {
        let outlier = Outlier::default();
        let fast = Duration::from_millis(5);
        assert_eq!((outlier.fail(&rule(), 0), outlier.fail(&rule(), 0)), (None, None));
        assert_eq!(outlier.answer(&rule(), fast, FAST), None);
        outlier.succeed(&rule(), 0);
        assert_eq!((outlier.fail(&rule(), 0), outlier.fail(&rule(), 0)), (None, None));
        assert_eq!(outlier.fail(&rule(), 0), Some(Reason::Errors));
        let slow = Duration::from_millis(100);
        let outlier = Outlier::default();
        assert_eq!((outlier.answer(&rule(), slow, FAST), outlier.answer(&rule(), slow, FAST)), (None, None));
        assert_eq!(outlier.answer(&rule(), slow, FAST), Some(Reason::Latency));
        for (took, usual) in [(99, FAST), (100, Some(Duration::from_millis(26))), (100, None)] {
            let outlier = Outlier::default();
            let took = Duration::from_millis(took);
            assert!((0..9).all(|_| outlier.answer(&rule(), took, usual).is_none()), "{took:?} {usual:?}");
        }
        let off = EjectionRule { after: 0, ..rule() };
        assert_eq!(outlier.fail(&off, 0), None);
    }

    #[test]
    fn a_head_alone_is_no_success() {
        let outlier = Outlier::default();
        for _ in 0..2 {
            assert_eq!(outlier.answer(&rule(), Duration::ZERO, FAST), None);
            assert_eq!(outlier.fail(&rule(), 0), None);
        }
        assert_eq!(outlier.answer(&rule(), Duration::ZERO, FAST), None);
        assert_eq!(outlier.fail(&rule(), 0), Some(Reason::Errors));
    }

    #[test]
    fn every_second_request_is_too_many() {
        let rounds = |rule: &EjectionRule| {
            let outlier = Outlier::default();
            (1..100).find_map(|round| {
                outlier.succeed(rule, round);
                outlier.fail(rule, round).map(|reason| (round, reason))
            })
        };
        assert_eq!(rounds(&rule()), Some((5, Reason::FailureRate)), "half of ten");
        for never in [
            EjectionRule { failure_percent: 51, ..rule() },
            EjectionRule { failure_percent: 0, ..rule() },
            EjectionRule { min_requests: 200, ..rule() },
            EjectionRule { interval: Duration::from_millis(1), ..rule() },
        ] {
            assert_eq!(rounds(&never), None, "{never:?}");
        }
        let outlier = Outlier::default();
        for _ in 0..9 {
            outlier.succeed(&rule(), 0);
        }
        outlier.eject(&rule(), 0);
        let reasons: Vec<_> = (0..2).map(|_| outlier.fail(&rule(), 0)).collect();
        assert_eq!(reasons, [None, None], "an ejection forgets what was counted");
    }

    #[test]
    fn it_stays_away_twice_as_long_unless_it_was_well_in_between() {
        let outlier = Outlier::default();
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
            let outlier = Outlier::default();
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
            let outlier = Outlier::default();
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
