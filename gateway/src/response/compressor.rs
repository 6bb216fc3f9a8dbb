//! Compression at work: how many answers are in it, what it counts, and the step of Pingora's that a body passes.

use std::{any::Any, io};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora::{
    Error, ErrorType,
    modules::http::{HttpModule, HttpModuleBuilder, Module},
    proxy::Session,
};
use prometheus::{IntCounter, IntGauge};

use crate::{
    observe::metrics::CompressionMetrics,
    response::{compression::CompressionRule, encoder::Encoder, negotiation::Coding},
};

/// A rule, and what is counted under it.
#[derive(Debug)]
pub struct Compression {
    /// The rule.
    pub rule: CompressionRule,
    counters: [Counters; Coding::ALL.len()],
    open: IntGauge,
    skipped: IntCounter,
}

/// What is counted of one coding.
#[derive(Debug, Clone)]
struct Counters {
    answers: IntCounter,
    octets_in: IntCounter,
    octets_out: IntCounter,
}

impl Compression {
    /// By this rule.
    pub fn new(rule: CompressionRule, metrics: &CompressionMetrics) -> Self {
        let counters = Coding::ALL.map(|coding| Counters {
            answers: metrics.answers.with_label_values(&[coding.as_str()]),
            octets_in: metrics.octets.with_label_values(&[coding.as_str(), "in"]),
            octets_out: metrics.octets.with_label_values(&[coding.as_str(), "out"]),
        });
        Self { rule, counters, open: metrics.open.clone(), skipped: metrics.skipped.clone() }
    }

    /// Lets the body of this session's answer pass through an encoder; false when it goes out plain, because as many are
    /// compressed as may be. `length` is how many octets will come, if that is known.
    pub(super) fn begin(&self, session: &mut Session, coding: Coding, length: Option<u64>) -> bool {
        let step = session.downstream_modules_ctx.get_mut::<Encoding>();
        match (step, self.body(coding, length)) {
            (Some(step), Some(body)) => {
                *step.0.get_mut() = Some(body);
                true
            }
            _ => false,
        }
    }

    fn body(&self, coding: Coding, length: Option<u64>) -> Option<Body> {
        let slot = Slot::take(&self.open);
        if usize::try_from(self.open.get()).unwrap_or_default() > self.rule.max_concurrent {
            self.skipped.inc();
            return None;
        }
        let at = Coding::ALL.iter().position(|known| *known == coding)?;
        let (counters, level) = (self.counters.get(at)?.clone(), *self.rule.levels.get(at)?);
        let encoder = Encoder::new(coding, level, length).ok()?;
        counters.answers.inc();
        Some(Body { encoder, flush: length.is_none(), counters, _slot: slot })
    }
}

/// The place of an answer among those that are compressed at the same time.
#[derive(Debug)]
struct Slot(IntGauge);

impl Slot {
    fn take(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Forgets the encoder of an answer that is not sent after all: what is sent instead is plain.
pub fn abandon(session: &mut Session) {
    if let Some(step) = session.downstream_modules_ctx.get_mut::<Encoding>() {
        *step.0.get_mut() = None;
    }
}

/// A body that is compressed as it passes.
struct Body {
    encoder: Encoder,
    /// Whether each piece goes on at once: nobody knows when the next one of an answer without a length comes.
    flush: bool,
    counters: Counters,
    _slot: Slot,
}

impl Body {
    fn encode(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.counters.octets_in.inc_by(piece.len() as u64);
        let octets = self.encoder.encode(piece, self.flush)?;
        self.counters.octets_out.inc_by(octets.len() as u64);
        Ok(octets)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        let octets = self.encoder.finish()?;
        self.counters.octets_out.inc_by(octets.len() as u64);
        Ok(octets)
    }
}

/// The step of Pingora's that sees an answer's body last, and every end of it.
#[derive(Default)]
// Pingora wants `Sync` of it, which zstd's encoder is not. The lock is never taken: there is one owner at a time.
struct Encoding(Mutex<Option<Body>>);

impl Encoding {
    fn finish(&mut self) -> pingora::Result<Option<Bytes>> {
        match self.0.get_mut().take() {
            Some(body) => Ok(Some(body.finish().map_err(failed)?.into())),
            None => Ok(None),
        }
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "the filters return boxed errors")]
fn failed(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::InternalError, "while compressing", error)
}

#[async_trait]
impl HttpModule for Encoding {
    fn response_body_filter(&mut self, piece: &mut Option<Bytes>, is_last: bool) -> pingora::Result<()> {
        let Some(body) = self.0.get_mut() else { return Ok(()) };
        let mut octets = match piece.take() {
            Some(piece) if !piece.is_empty() => body.encode(&piece).map_err(failed)?,
            _ => Vec::new(),
        };
        if is_last && let Some(rest) = self.finish()? {
            octets.extend_from_slice(&rest);
        }
        *piece = (!octets.is_empty()).then(|| octets.into());
        Ok(())
    }

    fn response_trailer_filter(&mut self, _: &mut Option<Box<HeaderMap>>) -> pingora::Result<Option<Bytes>> {
        self.finish()
    }

    fn response_done_filter(&mut self) -> pingora::Result<Option<Bytes>> {
        self.finish()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Makes the step for each request.
#[derive(Debug)]
pub struct Step;

impl HttpModuleBuilder for Step {
    fn init(&self) -> Module {
        Box::new(Encoding::default())
    }
}
