//! How much an HTTP/2 client may ask of a connection without asking for anything: floods, as a pure state machine.
//!
//! The library bounds what it remembers (continuations, decoded fields, streams reset before they were seen, empty
//! DATA). It does not bound what merely costs work: SETTINGS and PING that must be acknowledged, PRIORITY and unknown
//! frames that are read and dropped, window updates by the octet, streams opened and reset at leisure, streams beyond the
//! limit that are refused one by one. Each of these draws on an allowance that comes back with time, and control frames
//! also with the work they belong to, so that a busy honest client never runs out.

use std::time::{Duration, Instant};

use crate::edge::frames::{
    CANCEL, DATA, END_STREAM, HEADERS, Head, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, RST_STREAM,
};

/// In what time an allowance that is used up comes back in full.
const PERIOD: Duration = Duration::from_mins(1);

/// How many octets carried, in either direction, earn a control frame. The clients that open their window most eagerly do
/// it for the stream and the connection with each frame of a KiB or more.
const EARNING_OCTETS: usize = 256;

/// How many control frames a request earns: its own window, a priority, an acknowledgement.
const EARNED_BY_REQUEST: u32 = 4;

/// DATA below this many octets is more frame than data, and counts as a control frame.
const SMALL_DATA: usize = 64;

/// What a connection may do in a minute beyond the work it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodLimits {
    /// Control frames.
    pub control_frames: u32,
    /// Streams that end by a reset, whoever sends it.
    pub resets: u32,
}

/// What the client did too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abuse {
    /// Frames that ask for nothing, or resets.
    Flood,
    /// Streams beyond the limit.
    Streams,
}

/// What one connection has left.
#[derive(Debug)]
pub(crate) struct Flood {
    control: Allowance,
    resets: Allowance,
    /// Octets that have not earned anything yet.
    carried: usize,
}

impl Flood {
    pub(crate) const fn new(limits: FloodLimits, now: Instant) -> Self {
        Self {
            control: Allowance::new(limits.control_frames, now),
            resets: Allowance::new(limits.resets, now),
            carried: 0,
        }
    }

    /// A frame of the client's.
    pub(crate) fn received(&mut self, frame: Head, now: impl FnOnce() -> Instant) -> Result<(), Abuse> {
        let within = match frame.kind {
            HEADERS => {
                self.control.earn(EARNED_BY_REQUEST);
                true
            }
            DATA if frame.length >= SMALL_DATA || frame.flags & END_STREAM != 0 => {
                self.carry(frame.length);
                true
            }
            RST_STREAM => self.resets.take(now),
            _ => self.control.take(now),
        };
        if within { Ok(()) } else { Err(Abuse::Flood) }
    }

    /// A frame of ours. A reset may be the client's fault; one that ends an answer is not: the rest of a request that nobody
    /// needs (RFC 9113 section 8.1), or an upstream that broke off.
    pub(crate) fn sent(&mut self, frame: Head, now: impl FnOnce() -> Instant) -> Result<(), Abuse> {
        match frame.kind {
            RST_STREAM if matches!(frame.code, NO_ERROR | INTERNAL_ERROR | CANCEL) => Ok(()),
            RST_STREAM if self.resets.take(now) => Ok(()),
            RST_STREAM if frame.code == REFUSED_STREAM => Err(Abuse::Streams),
            RST_STREAM => Err(Abuse::Flood),
            DATA => {
                self.carry(frame.length);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn carry(&mut self, octets: usize) {
        self.carried += octets;
        self.control.earn(u32::try_from(self.carried / EARNING_OCTETS).unwrap_or(u32::MAX));
        self.carried %= EARNING_OCTETS;
    }
}

/// So much at once, and so much a [`PERIOD`]. The clock is asked only when it seems to be used up.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    refilled: Instant,
}

impl Allowance {
    const fn new(most: u32, now: Instant) -> Self {
        Self { left: most, most, refilled: now }
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.most);
    }

    fn take(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let since = now.saturating_duration_since(self.refilled).min(PERIOD);
            let come_back = since.as_millis() * u128::from(self.most) / PERIOD.as_millis();
            self.earn(u32::try_from(come_back).unwrap_or(u32::MAX));
            if self.left == 0 {
                // Time that was too short for one is kept.
                return false;
            }
            self.refilled = now;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FloodLimits = FloodLimits { control_frames: 100, resets: 20 };
    const PING: u8 = 6;

    fn frame(kind: u8, length: usize, code: u32) -> Head {
        Head { length, kind, flags: 0, code }
    }

    /// How many of these frames pass before one is too many.
    fn pass(flood: &mut Flood, frames: impl IntoIterator<Item = Head>, now: Instant) -> (usize, Option<Abuse>) {
        for (count, head) in frames.into_iter().take(1_000_000).enumerate() {
            if let Err(abuse) = flood.received(head, || now) {
                return (count, Some(abuse));
            }
        }
        (1_000_000, None)
    }

    #[test]
    fn floods_end_and_honest_work_does_not() {
        let now = Instant::now();
        let new = || Flood::new(LIMITS, now);
        let of = |kind| std::iter::repeat(frame(kind, 8, 0));
        for kind in [2, 4, PING, 8, 9, 200] {
            assert_eq!(pass(&mut new(), of(kind), now), (100, Some(Abuse::Flood)), "type {kind}");
        }
        assert_eq!(pass(&mut new(), std::iter::repeat(frame(DATA, 0, 0)), now).0, 100, "empty data");
        let rapid = std::iter::repeat([frame(HEADERS, 30, 0), frame(RST_STREAM, 4, 8)]).flatten();
        assert_eq!(pass(&mut new(), rapid, now), (2 * 20 + 1, Some(Abuse::Flood)), "rapid reset");
        let upload = std::iter::repeat([frame(DATA, 1024, 0), frame(8, 4, 0), frame(8, 4, 0)]).flatten();
        assert_eq!(pass(&mut new(), upload, now).1, None, "two window updates for each KiB");
        let requests = std::iter::repeat([frame(HEADERS, 30, 0), frame(2, 5, 0), frame(8, 4, 0)]).flatten();
        assert_eq!(pass(&mut new(), requests, now).1, None, "a priority and a window for each request");
    }

    #[test]
    fn what_is_taken_of_answers_earns_window_updates() {
        let now = Instant::now();
        let mut flood = Flood::new(LIMITS, now);
        for _ in 0..10_000 {
            flood.sent(frame(DATA, 1024, 0), || now).expect("ours");
            flood.received(frame(8, 4, 0), || now).expect("earned");
        }
    }

    #[test]
    fn resets_that_end_an_answer_are_not_the_clients() {
        let now = Instant::now();
        let mut flood = Flood::new(LIMITS, now);
        for code in [NO_ERROR, INTERNAL_ERROR, CANCEL].into_iter().cycle().take(1000) {
            flood.sent(frame(RST_STREAM, 4, code), || now).expect("ours");
        }
    }

    #[test]
    fn our_resets_say_what_the_client_did() {
        let now = Instant::now();
        for (code, abuse) in [(REFUSED_STREAM, Abuse::Streams), (1, Abuse::Flood)] {
            let mut flood = Flood::new(LIMITS, now);
            let mut sent = std::iter::repeat_with(|| flood.sent(frame(RST_STREAM, 4, code), || now));
            assert!(sent.by_ref().take(20).all(|sent| sent.is_ok()));
            assert_eq!(sent.next(), Some(Err(abuse)));
        }
    }

    proptest! {
        /// Whatever the times, no more passes than what may come at once and what time brings back.
        #[test]
        fn the_allowance_is_kept(gaps in proptest::collection::vec(0_u64..3_000, 1..2000)) {
            let start = Instant::now();
            let (mut flood, mut now, mut passed) = (Flood::new(LIMITS, start), start, 0_u64);
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u64::from(flood.received(frame(PING, 8, 0), || now).is_ok());
                let elapsed = u64::try_from((now - start).as_millis()).expect("short");
                prop_assert!(passed <= 100 + elapsed * 100 / 60_000);
            }
        }

        #[test]
        fn a_ping_each_second_is_always_fine(count in 1_u64..3_000) {
            let start = Instant::now();
            let mut flood = Flood::new(LIMITS, start);
            for second in 0..count {
                prop_assert!(flood.received(frame(PING, 8, 0), || start + Duration::from_secs(second)).is_ok());
            }
        }
    }
}
