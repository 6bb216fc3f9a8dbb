//! How many handshakes may begin in a second: in all, and from one address.
//!
//! The generic cell rate algorithm (ITU-T I.371) needs one number for each counter, the time at which it will have
//! caught up, so a table of fixed size serves all addresses there are. Two that share a place in it share its rate: the
//! bound may come early for one of many thousands, never late. The table's hash is secret, so that nobody can choose
//! with whom to share.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

const SECOND: u64 = 1_000_000_000;

/// Places for addresses: 32 KiB.
const PLACES: usize = 4096;

/// The rates of all handshakes. Time is counted in nanoseconds since it was made.
#[derive(Debug)]
pub(crate) struct Rates {
    began: Instant,
    all: AtomicU64,
    addresses: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            all: AtomicU64::new(0),
            addresses: std::iter::repeat_with(AtomicU64::default).take(PLACES).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Rates {
    /// The time, for the other methods.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether another one may begin, with `most` in a second.
    pub(crate) fn admit(&self, most: u32, now: u64) -> bool {
        admit(&self.all, most, now)
    }

    /// Whether another one may begin for this address, with `most` in a second.
    pub(crate) fn admit_address(&self, address: IpAddr, most: u32, now: u64) -> bool {
        let place = usize::try_from(self.hasher.hash_one(address) % PLACES as u64).unwrap_or_default();
        self.addresses.get(place).is_none_or(|counter| admit(counter, most, now))
    }
}

/// `counter` is the time at which what was admitted has been worked off. A second's worth may come at once.
fn admit(counter: &AtomicU64, most: u32, now: u64) -> bool {
    let each = SECOND / u64::from(most.max(1));
    let admit = |caught_up: u64| {
        let next = caught_up.max(now) + each;
        (next <= now + SECOND).then_some(next)
    };
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_counted_for_itself() {
        let (rates, now) = (Rates::default(), 7);
        let one = IpAddr::from([192, 0, 2, 1]);
        assert!((0..5).all(|_| rates.admit_address(one, 5, now)));
        assert!(!rates.admit_address(one, 5, now), "five at once");
        assert!(rates.admit_address(one, 5, now + SECOND / 5), "and another one a fifth of a second later");
        let others = (0..=255).filter(|last| rates.admit_address(IpAddr::from([198, 51, 100, *last]), 5, now));
        assert!(others.count() > 250, "hardly anyone shares a place");
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_two_seconds_worth(
            most in 1_u32..200,
            gaps in proptest::collection::vec(0_u64..50_000_000, 1..500),
        ) {
            let (counter, mut now, mut admitted) = (AtomicU64::new(0), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if admit(&counter, most, now) {
                    admitted.push(now);
                }
            }
            for (at, first) in admitted.iter().enumerate() {
                let within = admitted.iter().skip(at).take_while(|time| **time < first + SECOND).count();
                prop_assert!(within <= 2 * usize::try_from(most).expect("small") + 1);
            }
        }

        #[test]
        fn who_keeps_the_rate_is_never_refused(most in 1_u32..200, count in 1_u64..1000) {
            let counter = AtomicU64::new(0);
            let each = SECOND.div_ceil(u64::from(most));
            for number in 0..count {
                prop_assert!(admit(&counter, most, number * each));
            }
        }
    }
}
