//! How many of an address's requests failed in the interval that runs: in one word, so that counting needs no lock.
//!
//! Intervals follow one another on the process's clock, and each begins at nothing, as in Envoy's outlier detection. The
//! first request of a new interval forgets the one before; what an address did then is judged no more.

use std::time::Duration;

use crate::upstream::outlier::{EjectionRule, millis};

/// Bits of each count.
const BITS: u32 = 20;

/// The largest count.
const MOST: u64 = (1 << BITS) - 1;

/// The counts of one interval: which one in the upper 24 bits, its requests and its failures in 20 each.
///
/// The number of the interval wraps; two that are 2^24 apart would be taken for one if no request came between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window(pub u64);

impl Window {
    fn of(interval: u64, requests: u64, failures: u64) -> Self {
        Self(interval << (2 * BITS) | requests << BITS | failures)
    }

    /// Requests that were judged in the interval.
    pub const fn requests(self) -> u64 {
        self.0 >> BITS & MOST
    }

    /// Those of them that failed.
    pub const fn failures(self) -> u64 {
        self.0 & MOST
    }

    /// The window after one more request, at this time in milliseconds.
    #[must_use]
    pub fn count(self, length: Duration, now: u64, failed: bool) -> Self {
        let interval = (now / millis(length).max(1)) & (u64::MAX >> (2 * BITS));
        let (mut requests, mut failures) = match self.0 >> (2 * BITS) {
            same if same == interval => (self.requests(), self.failures()),
            _ => (0, 0),
        };
        if requests == MOST {
            // Their ratio is what counts.
            (requests, failures) = (requests / 2, failures / 2);
        }
        Self::of(interval, requests + 1, failures + u64::from(failed))
    }

    /// Whether so many failed of so many that the address is to be set aside.
    pub fn is_bad(self, rule: &EjectionRule) -> bool {
        let (requests, failures) = (self.requests(), self.failures());
        rule.failure_percent > 0
            && requests >= u64::from(rule.min_requests)
            && failures * 100 >= requests * u64::from(rule.failure_percent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const fn rule(failure_percent: u8, min_requests: u32) -> EjectionRule {
        EjectionRule { failure_percent, min_requests, interval: SECOND, ..EjectionRule::for_tests() }
    }

    proptest! {
        #[test]
        fn it_holds_what_came_in_the_interval_that_runs(
            length in 1_u64..5_000,
            requests in proptest::collection::vec((0_u64..2_000, any::<bool>()), 1..200),
        ) {
            let mut window = Window::default();
            let (mut now, mut seen) = (0, Vec::new());
            for (later, failed) in requests {
                now += later;
                window = window.count(Duration::from_millis(length), now, failed);
                seen.push((now / length, failed));
                let of_it = || seen.iter().filter(|(interval, _)| *interval == now / length);
                prop_assert_eq!(window.requests(), of_it().count() as u64);
                prop_assert_eq!(window.failures(), of_it().filter(|(_, failed)| *failed).count() as u64);
            }
        }

        #[test]
        fn any_word_at_any_time_is_a_window(word: u64, length: u64, now: u64, failed: bool) {
            let (before, after) = (Window(word), Window(word).count(Duration::from_millis(length), now, failed));
            prop_assert!((1..=MOST).contains(&after.requests()));
            prop_assert!(before.failures() > before.requests() || after.failures() <= after.requests());
        }

        #[test]
        fn bad_is_the_percentage_of_enough(
            percent in 0_u8..101,
            least in 1_u32..200,
            requests in 1_u32..400,
            part in 0_u32..401,
        ) {
            let failures = part.min(requests);
            let share = f64::from(failures) / f64::from(requests) * 100.0;
            let expected = percent > 0 && requests >= least && share >= f64::from(percent) - 1e-9;
            let window = Window::of(1, requests.into(), failures.into());
            prop_assert_eq!(window.is_bad(&rule(percent, least)), expected);
        }
    }

    #[test]
    fn full_counts_are_halved() {
        let window = Window::of(0, MOST, MOST / 2).count(SECOND, 1, true);
        assert_eq!((window.requests(), window.failures()), (MOST / 2 + 1, MOST / 4 + 1));
    }

    #[test]
    fn an_interval_that_is_over_is_forgotten() {
        let bad = (0..20).fold(Window::default(), |window, nth| window.count(SECOND, 999, nth % 2 == 0));
        assert!(bad.is_bad(&rule(50, 20)) && !bad.is_bad(&rule(51, 20)) && !bad.is_bad(&rule(50, 21)));
        assert!(!bad.is_bad(&rule(0, 1)), "never");
        let next = bad.count(SECOND, 1000, true);
        assert_eq!((next.requests(), next.failures()), (1, 1));
    }
}
