//! How slow a client may be, without any IO: time is told to it.
//!
//! A deadline that begins anew with each octet can be held off for ever, an octet at a time, and a plain rate is unfair to
//! whoever merely pauses. So a client that keeps us waiting runs up a debt of time and pays it off by the octets it moves;
//! when it owes more than our patience, it is cut.

use std::time::{Duration, Instant};

/// The slowest a client may be in one direction.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    patience: Duration,
    /// Octets a second that pay for the time they take.
    rate: u64,
    debt: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Nobody waits yet. A `rate` of zero would never pay anything off; at least one octet a second is taken.
    pub(crate) fn new(patience: Duration, rate: u64) -> Self {
        Self { patience, rate: rate.max(1), debt: Duration::ZERO, waiting_since: None }
    }

    /// We wait from now on, if we did not already; returns when patience ends, the first time.
    pub(crate) fn wait(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if self.waiting_since.is_some() {
            return None;
        }
        let now = now();
        self.waiting_since = Some(now);
        Some(now + self.patience.saturating_sub(self.debt))
    }

    /// The client moved this many octets. Costs nothing where nobody has waited.
    pub(crate) fn progress(&mut self, octets: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.debt = self.debt.saturating_add(now().saturating_duration_since(since));
        }
        if !self.debt.is_zero() {
            let paid = (octets as u128).saturating_mul(1_000_000_000) / u128::from(self.rate);
            self.debt = self.debt.saturating_sub(Duration::from_nanos(u64::try_from(paid).unwrap_or(u64::MAX)));
        }
    }

    /// What is waited for is not the client any longer.
    pub(crate) const fn forgive(&mut self) {
        self.waiting_since = None;
        self.debt = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const RATE: u64 = 1000;

    /// Plays waits in milliseconds, each followed by as many octets; when the client was cut, if it was.
    fn cut(steps: impl IntoIterator<Item = (u64, usize)>) -> Option<Duration> {
        let (start, mut pace) = (Instant::now(), Pace::new(PATIENCE, RATE));
        let mut now = start;
        for (wait, octets) in steps {
            let deadline = pace.wait(|| now).expect("a wait begins");
            assert!(pace.wait(|| now).is_none(), "it begins once");
            now += Duration::from_millis(wait);
            if now >= deadline {
                return Some(deadline - start);
            }
            pace.progress(octets, || now);
        }
        None
    }

    #[test]
    fn silence_and_trickling_are_cut_and_a_pause_is_not() {
        assert_eq!(cut([(11_000, 0)]), Some(PATIENCE));
        assert_eq!(cut([(9_000, 9_000), (9_000, 1)]), None, "a pause that was paid for");
        let trickle = cut(std::iter::repeat((5_000, 1)));
        assert!(trickle.is_some_and(|time| time < Duration::from_secs(11)), "an octet now and then: {trickle:?}");
        let half = cut(std::iter::repeat((1_000, 500)));
        assert!(half.is_some_and(|time| time < 2 * PATIENCE + Duration::from_secs(1)), "half the rate: {half:?}");
    }

    #[test]
    fn who_is_forgiven_begins_anew() {
        let (now, mut pace) = (Instant::now(), Pace::new(PATIENCE, RATE));
        pace.wait(|| now);
        pace.progress(0, || now + Duration::from_secs(9));
        pace.forgive();
        assert_eq!(pace.wait(|| now), Some(now + PATIENCE));
    }

    proptest! {
        #[test]
        fn who_keeps_the_rate_is_never_cut(waits in proptest::collection::vec(1_u64..10_000, 1..200)) {
            prop_assert_eq!(cut(waits.into_iter().map(|wait| (wait, usize::try_from(wait).expect("small")))), None);
        }

        #[test]
        fn who_keeps_less_than_half_of_it_is_cut_in_twice_the_patience(
            steps in proptest::collection::vec((1_u64..5_000, 0_usize..100), 50_000 / 5..=50_000 / 5),
        ) {
            let slow = steps.into_iter().map(|(wait, percent)| {
                (wait, usize::try_from(wait).expect("small") * percent / 200)
            });
            let time = cut(slow);
            prop_assert!(time.is_some_and(|time| time <= 2 * PATIENCE + Duration::from_secs(5)), "{:?}", time);
        }
    }
}
