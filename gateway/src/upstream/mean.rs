//! The exponentially weighted mean of the time to an answer's head: in one word, so that it changes without a lock.

use std::time::Duration;

/// Answers before an address's mean says anything.
const ENOUGH_ANSWERS: u64 = 10;

/// A new answer's part of the mean is one in so many.
const WEIGHT: u64 = 8;

/// Microseconds, and in the lowest four bits how many answers they rest on, up to enough.
#[derive(Debug, Clone, Copy)]
pub struct Mean(pub u64);

impl Mean {
    const BITS: u32 = 4;

    /// What it is, once it rests on enough answers.
    pub fn known(self) -> Option<Duration> {
        (self.answers() >= ENOUGH_ANSWERS).then(|| Duration::from_micros(self.micros()))
    }

    const fn answers(self) -> u64 {
        self.0 & ((1 << Self::BITS) - 1)
    }

    const fn micros(self) -> u64 {
        self.0 >> Self::BITS
    }

    /// The mean after one more answer, which took this many microseconds.
    #[must_use]
    pub fn with(self, micros: u64) -> Self {
        let before = self.micros();
        let mean = if self.answers() == 0 { micros } else { before - before / WEIGHT + micros / WEIGHT };
        let answers = (self.answers() + 1).min(ENOUGH_ANSWERS);
        Self(mean.min(u64::MAX >> Self::BITS) << Self::BITS | answers)
    }
}
