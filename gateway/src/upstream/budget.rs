//! How many requests may be sent again: a share of all requests, and a floor for quiet times.
//!
//! Without a bound, retries multiply the load of an API that fails because it is overloaded. The budget is a bucket of
//! tokens: every request adds a part of one, every second adds the floor, every retry takes one. What is not used is
//! kept for a burst, up to [`Budget::most`].

/// How large the budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetRule {
    /// Retries for every hundred requests.
    pub percent: u8,
    /// Retries a second beside those.
    pub floor: u32,
}

/// One retry, in the unit of the bucket.
const TOKEN: u64 = 1000;

/// How many seconds of the floor are kept for a burst.
const BURST_SECONDS: u64 = 10;

/// The bucket of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    tokens: u64,
    /// When, and at which number of requests, it was last filled.
    filled: (u64, u64),
}

impl Budget {
    /// A bucket that holds a second's floor at this time, in milliseconds.
    pub fn new(rule: BudgetRule, now: u64) -> Self {
        Self { tokens: u64::from(rule.floor) * TOKEN, filled: (now, 0) }
    }

    /// The most that the bucket holds, in retries.
    pub fn most(rule: BudgetRule) -> u64 {
        BURST_SECONDS * u64::from(rule.floor.max(1))
    }

    /// Whether there is a retry to take: at this time, in milliseconds, and after this many requests in all.
    pub fn has_one(&self, rule: BudgetRule, now: u64, requests: u64) -> bool {
        self.filled(rule, now, requests).tokens >= TOKEN
    }

    /// Takes one retry, if there is one.
    pub fn take(&mut self, rule: BudgetRule, now: u64, requests: u64) -> bool {
        *self = self.filled(rule, now, requests);
        match self.tokens.checked_sub(TOKEN) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    fn filled(&self, rule: BudgetRule, now: u64, requests: u64) -> Self {
        let (time, seen) = self.filled;
        let by_time = now.saturating_sub(time).saturating_mul(u64::from(rule.floor) * TOKEN / 1000);
        let by_share = requests.saturating_sub(seen).saturating_mul(u64::from(rule.percent) * TOKEN / 100);
        let most = Self::most(rule) * TOKEN;
        Self {
            tokens: self.tokens.saturating_add(by_time).saturating_add(by_share).min(most),
            filled: (time.max(now), seen.max(requests)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_than_the_share_the_floor_and_the_burst(
            percent in 0_u8..101,
            floor in 0_u32..20,
            steps in proptest::collection::vec((0_u64..500, 0_u64..20), 0..200),
        ) {
            let rule = BudgetRule { percent, floor };
            let mut budget = Budget::new(rule, 0);
            let (mut now, mut requests, mut taken) = (0, 0, 0);
            for (later, more) in steps {
                now += later;
                requests += more;
                let has_one = budget.has_one(rule, now, requests);
                let takes = budget.take(rule, now, requests);
                prop_assert_eq!(has_one, takes);
                taken += u64::from(takes);
                let earned = (1000 + now) * u64::from(floor) + requests * u64::from(percent) * 10;
                prop_assert!(taken * 1000 <= earned, "{taken} of {earned} thousandths");
            }
        }

        #[test]
        fn a_burst_is_bounded_however_long_it_was_quiet(percent in 0_u8..101, floor in 0_u32..20, now: u32, requests: u32) {
            let rule = BudgetRule { percent, floor };
            let mut budget = Budget::new(rule, 0);
            let mut taken = 0;
            while budget.take(rule, now.into(), requests.into()) {
                taken += 1;
            }
            prop_assert!(taken <= Budget::most(rule));
        }
    }

    #[test]
    fn the_share_and_the_floor_are_both_given() {
        let rule = BudgetRule { percent: 20, floor: 1 };
        let mut budget = Budget::new(rule, 0);
        let mut take = |now, requests| budget.take(rule, now, requests);
        assert_eq!([take(0, 0), take(0, 0)], [true, false], "a second's floor at the beginning");
        assert_eq!([take(0, 4), take(0, 5), take(0, 5)], [false, true, false], "one of five requests");
        assert_eq!([take(999, 5), take(1000, 5), take(1000, 5)], [false, true, false], "one a second");
    }

    #[test]
    fn nothing_is_nothing() {
        let rule = BudgetRule { percent: 0, floor: 0 };
        assert!(!Budget::new(rule, 0).take(rule, u64::MAX, u64::MAX));
    }
}
