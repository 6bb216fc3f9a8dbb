//! The watch over an HTTP/2 connection's frames: what passes is walked and judged, and whoever serves the connection learns
//! what its client did. The connection itself is inside the library then.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use crate::edge::{
    flood::{Abuse, Flood, FloodLimits},
    frames::{REFUSED_STREAM, Walker},
};

/// How long and how much an HTTP/2 connection is read on after our last frame, so that GOAWAY is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGERED: usize = 256 << 10;

/// What whoever serves an HTTP/2 connection learns of it, which is inside the library then.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    abuse: OnceLock<Abuse>,
    refused_streams: AtomicU64,
}

impl Seen {
    /// What the client did that ends the connection.
    pub(crate) fn abuse(&self) -> Option<Abuse> {
        self.abuse.get().copied()
    }

    /// Ends the connection for this, if nothing else has.
    pub(crate) fn condemn(&self, abuse: Abuse) {
        let _ = self.abuse.set(abuse);
    }

    /// How many streams were refused because there were too many.
    pub(crate) fn refused_streams(&self) -> u64 {
        self.refused_streams.load(Ordering::Relaxed)
    }
}

/// Watches the frames of an HTTP/2 connection in both directions.
#[derive(Debug)]
pub(super) struct FrameWatch {
    received: Walker,
    sent: Walker,
    flood: Flood,
    seen: Arc<Seen>,
    /// How much was read and when to stop reading, once we have said our last.
    lingered: usize,
    linger: Option<Pin<Box<Sleep>>>,
}

impl FrameWatch {
    pub(super) fn new(floods: FloodLimits, seen: Arc<Seen>) -> Self {
        Self {
            received: Walker::of_client(),
            sent: Walker::of_server(),
            flood: Flood::new(floods, Instant::now()),
            seen,
            lingered: 0,
            linger: None,
        }
    }

    /// Octets that the client sent.
    pub(super) fn received(&mut self, octets: &[u8]) {
        let (flood, seen) = (&mut self.flood, &self.seen);
        self.received.walk(octets, |frame| {
            if let Err(abuse) = flood.received(frame, Instant::now) {
                seen.condemn(abuse);
            }
        });
    }

    /// Octets that were sent to it.
    pub(super) fn sent(&mut self, octets: &[u8]) {
        let (flood, seen) = (&mut self.flood, &self.seen);
        self.sent.walk(octets, |frame| {
            if frame.code == REFUSED_STREAM {
                seen.refused_streams.fetch_add(1, Ordering::Relaxed);
            }
            if let Err(abuse) = flood.sent(frame, Instant::now) {
                seen.condemn(abuse);
            }
        });
    }

    /// Whether we have said our last, and read on since.
    pub(super) const fn is_lingering(&self) -> bool {
        self.linger.is_some()
    }

    /// So many octets were read after our last frame.
    pub(super) const fn linger(&mut self, octets: usize) {
        self.lingered += octets;
    }

    /// Whether enough was read after our last frame.
    pub(super) fn has_lingered(&mut self, context: &mut Context<'_>) -> bool {
        let timer = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        timer.as_mut().poll(context).is_ready() || self.lingered >= MOST_LINGERED
    }
}
