//! Which address is asked next: the less busy one of two that are drawn at random.
//!
//! Power of two choices (Mitzenmacher, 2001): nearly as even as asking the least busy of all, without a herd that
//! runs to whoever looked idle a moment ago. An address that has come back stands aside in part of the draws it wins,
//! fewer and fewer until its slow start is over, so that cold caches and pools are not met by a full share at once.
//!
//! Nothing here reads a clock, a random source or an address: numbers in, a number out.

/// A full share, in thousandths.
pub const FULL_SHARE: u16 = 1000;

/// The share that a slow start begins with.
const FIRST_SHARE: u16 = 100;

/// What a draw needs to know of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests in flight.
    pub load: usize,
    /// The share of its draws that it takes, in thousandths.
    pub share: u16,
}

/// The share of an address that came back this long ago, by the length of a slow start; both in milliseconds.
pub fn share(since: u64, slow_start: u64) -> u16 {
    if since >= slow_start {
        return FULL_SHARE;
    }
    // Below `slow_start`, so the quotient is below a full share.
    let grown = since.saturating_mul(u64::from(FULL_SHARE)) / slow_start;
    u16::try_from(grown).unwrap_or(FULL_SHARE).max(FIRST_SHARE)
}

/// The number of the address that is asked, of `count`; `None` of none.
pub fn pick(count: usize, random: u64, candidate: impl Fn(usize) -> Candidate) -> Option<usize> {
    let mut random = Draws(random);
    let first = random.below(count)?;
    let Some(step) = random.below(count - 1) else { return Some(first) };
    let second = (first + 1 + step) % count;
    let (a, b) = (candidate(first), candidate(second));
    let (takes_a, takes_b) = (random.happens(a.share), random.happens(b.share));
    let second_wins = if takes_a == takes_b { b.load < a.load } else { takes_b };
    Some(if second_wins { second } else { first })
}

/// Numbers drawn from a seed (`SplitMix64`).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; `None` where there is none.
    fn below(&mut self, bound: usize) -> Option<usize> {
        let bound = u64::try_from(bound).ok()?;
        usize::try_from(self.next().checked_rem(bound)?).ok()
    }

    fn happens(&mut self, thousandths: u16) -> bool {
        thousandths >= FULL_SHARE || self.next() % u64::from(FULL_SHARE) < u64::from(thousandths)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(candidates: &[Candidate], draws: u64, seed: u64) -> Vec<u64> {
        let mut counts = vec![0; candidates.len()];
        for draw in 0..draws {
            if let Some(at) = pick(candidates.len(), seed.wrapping_add(draw), |at| candidates[at]) {
                counts[at] += 1;
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn equals_are_asked_equally(count in 1_usize..9, seed: u64) {
            let candidates = vec![Candidate { load: 1, share: FULL_SHARE }; count];
            let draws = 4000;
            let fair = draws / count as u64;
            for asked in counts(&candidates, draws, seed) {
                prop_assert!(asked.abs_diff(fair) < fair / 2, "{asked} of {draws} for one of {count}");
            }
        }

        #[test]
        fn the_busiest_is_never_asked_before_a_less_busy_one(loads in proptest::collection::vec(0_usize..9, 2..9), seed: u64) {
            let candidates: Vec<_> = loads.iter().map(|load| Candidate { load: *load, share: FULL_SHARE }).collect();
            let busiest = loads.iter().max().copied().unwrap_or_default();
            let counts = counts(&candidates, 50, seed);
            if loads.iter().filter(|load| **load == busiest).count() == 1 {
                let at = loads.iter().position(|load| *load == busiest).expect("there");
                prop_assert_eq!(counts[at], 0, "it meets somebody less busy in every draw");
            }
        }

        #[test]
        fn whoever_is_picked_exists(count in 0_usize..5, loads: [usize; 4], shares in proptest::array::uniform4(0_u16..1001), seed: u64) {
            let picked = pick(count.min(4), seed, |at| Candidate { load: loads[at], share: shares[at] });
            prop_assert_eq!(picked.is_some(), count > 0);
            prop_assert!(picked.is_none_or(|at| at < count));
        }

        #[test]
        fn a_share_grows_to_the_whole(slow_start in 0_u64..100_000, since in 0_u64..200_000) {
            let now = share(since, slow_start);
            prop_assert!((FIRST_SHARE..=FULL_SHARE).contains(&now));
            prop_assert!(share(since + 1, slow_start) >= now);
            prop_assert_eq!(share(slow_start, slow_start), FULL_SHARE);
        }
    }

    #[test]
    fn whoever_comes_back_gets_its_share_and_no_more() {
        let other = Candidate { load: 0, share: FULL_SHARE };
        for (share, least, most) in [(100, 100, 300), (500, 850, 1150), (FULL_SHARE, 1850, 2150)] {
            let asked = counts(&[Candidate { load: 0, share }, other], 4000, 7)[0];
            assert!((least..=most).contains(&asked), "{asked} of 4000 at a share of {share}");
        }
    }
}
