//! The attempts of a request at its upstream: whom it asks, how long it waits, and what is learned from what comes.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use pingora::{protocols::Digest, upstreams::peer::HttpPeer};
use todo_shared::problem::Code;

use crate::{
    observe::metrics::Metrics,
    request::{context::Context, route::Route},
    upstream::{Attempt, retry::Stage},
};

impl Context {
    /// Begins an attempt at the upstream. A second attempt has the time that the first one left, and is sent the body
    /// from its beginning. `may_repeat` says whether the request itself allows one.
    ///
    /// # Errors
    /// The why-code where nobody can be asked, or no time is left.
    pub fn begin_attempt(&mut self, route: &Route, may_repeat: bool) -> Result<Box<HttpPeer>, Code> {
        self.body_received = 0;
        self.body_is_whole = false;
        self.body_ended = None;
        self.failure = None;
        // The one before has been counted.
        self.attempt = None;
        self.awaited = None;
        let began = *self.upstream_began.get_or_insert_with(Instant::now);
        let left = route.rule.timeout.saturating_sub(began.elapsed());
        let upstream = &route.upstream;
        let target = if let Some(target) = self.next.take() {
            target
        } else {
            upstream.count();
            upstream.choose(&[]).ok_or(Code::UpstreamUnreachable)?
        };
        if left.is_zero() {
            return Err(Code::UpstreamTimeout);
        }
        self.attempt = Some(Attempt::begin(Arc::clone(&target.endpoint)));
        // Where nobody else may be asked, waiting is all that can be done: to give up early would help nobody.
        let may_repeat = may_repeat
            && self.asked.len() < usize::from(upstream.rule.retries)
            && upstream.has_other(&self.asked, target.endpoint.address)
            && upstream.has_retry();
        let silence = if may_repeat { left.min(upstream.rule.try_timeout) } else { left };
        // Pingora has one deadline for the first octet and for those that follow, which a stream needs to be long.
        let silence = route.rule.stream_idle_timeout.map_or(silence, |stream| stream.max(left));
        Ok(target.within(left, silence))
    }

    /// Learns how old the connection is that was chosen.
    pub fn note_connection(&mut self, digest: Option<&Digest>) {
        let established = digest.and_then(|digest| digest.timing_digest.first()?.as_ref());
        let age = established.and_then(|timing| timing.established_ts.elapsed().ok());
        let limit = self.route.as_ref().map(|route| route.upstream.rule.max_connection_age);
        if let Some(attempt) = &mut self.attempt {
            attempt.is_last_use = age.zip(limit).is_some_and(|(age, limit)| age >= limit);
        }
    }

    /// Learns that the upstream begins to answer. How long it took counts from when it had the whole request, because a
    /// client may take its time over a body; an answer that comes before that says nothing of it. Whether it was a success
    /// is seen at its end ([`Self::note_whole_answer`]); but a stream has none, or one that clients choose.
    pub fn note_answer(&mut self, status: StatusCode) {
        self.answered = Some(status);
        let Some(route) = self.route.clone() else { return };
        if status.is_server_error() {
            self.note_failure();
            return;
        }
        if self.body_is_whole
            && let Some(attempt) = &self.attempt
        {
            let since = self.body_ended.unwrap_or(attempt.began);
            route.upstream.note_answer(&attempt.endpoint, since.elapsed());
        }
        if route.rule.stream_idle_timeout.is_some()
            && let Some(attempt) = &self.attempt
        {
            // Not a verdict: a stream may still break off, and is counted then.
            route.upstream.note_begun_stream(&attempt.endpoint);
        }
    }

    /// Learns that the upstream's answer is whole.
    pub fn note_whole_answer(&mut self) {
        if let (Some(route), Some(attempt)) = (&self.route, &mut self.attempt)
            && !std::mem::replace(&mut attempt.is_judged, true)
        {
            route.upstream.note_success(&attempt.endpoint);
        }
    }

    /// Learns that the upstream is to blame for a failed attempt.
    pub fn note_failure(&mut self) {
        if let (Some(route), Some(attempt)) = (&self.route, &mut self.attempt)
            && !std::mem::replace(&mut attempt.is_judged, true)
        {
            route.upstream.note_failure(&attempt.endpoint);
        }
    }

    /// Looks for somebody else to ask after an attempt that failed for this reason; says whether there is one.
    pub fn prepare_retry(&mut self, stage: Stage, code: Code) -> bool {
        let (Some(route), Some(attempt)) = (self.route.clone(), &self.attempt) else { return false };
        let upstream = &route.upstream;
        if self.asked.len() >= usize::from(upstream.rule.retries) || self.is_overdue() {
            return false;
        }
        self.asked.push(attempt.endpoint.address);
        let same = || (stage == Stage::Kept).then(|| upstream.choose(&[])).flatten();
        let Some(next) = upstream.choose(&self.asked).or_else(same) else { return false };
        if !upstream.take_retry() {
            return false;
        }
        self.count_attempt(code.as_str(), upstream.metrics());
        self.next = Some(next);
        true
    }

    /// Counts an attempt that ended like this.
    pub(super) fn count_attempt(&self, outcome: &str, metrics: &Metrics) {
        if let (Some(attempt), Some(route)) = (&self.attempt, &self.route)
            && !attempt.endpoint.is_gone()
        {
            let labels = [&*route.rule.upstream, attempt.endpoint.label(), outcome];
            metrics.upstream_requests.with_label_values(&labels).inc();
        }
    }
}
