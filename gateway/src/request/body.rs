//! The body of a request while it comes: how large, how late, and what is told of a request that ends for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Version};
use pingora::{http::RequestHeader, proxy::Session};
use todo_shared::problem::Code;

use crate::{
    edge::{Closed, Pace, Settings, await_body_until},
    observe::record::Record,
    request::context::{Context, Exchange},
    runtime::Shared,
};

/// How long after its deadline a body is given up that has stopped altogether. A client that still sends gets an answer
/// with its next piece; this one gets a reset.
const GRACE: Duration = Duration::from_millis(250);

/// A body that is waited for over HTTP/2, where the connection's own deadline cannot tell one stream from another.
///
/// It holds what the log tells of the request, because one whose body stops altogether is dropped in Pingora's hands:
/// its last step, which writes the line otherwise, never comes.
#[derive(Debug)]
pub(super) struct Awaited {
    pace: Pace,
    deadline: Option<Instant>,
    method: Method,
    target: Vec<u8>,
    shared: Arc<Shared>,
}

impl Awaited {
    fn begin(settings: &Settings, head: &RequestHeader, shared: &Arc<Shared>) -> Self {
        let mut pace = Pace::new(settings.body_timeout, settings.min_rate);
        let deadline = pace.wait(Instant::now);
        await_body_until(deadline.map(|deadline| deadline + GRACE));
        let (method, target) = (head.method.clone(), head.raw_path().to_vec());
        Self { pace, deadline, method, target, shared: Arc::clone(shared) }
    }

    /// Takes note of a piece; whether it came too late.
    fn is_late(&mut self, octets: usize) -> bool {
        let now = Instant::now();
        let is_late = self.is_overdue(now);
        self.pace.progress(octets, || now);
        self.deadline = self.pace.wait(|| now);
        await_body_until(self.deadline.map(|deadline| deadline + GRACE));
        is_late
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        await_body_until(None);
    }
}

impl Context {
    /// Waits for the rest of a body from now on, if there is one. Over HTTP/1 the connection itself keeps the time.
    pub fn await_body(&mut self, session: &mut Session, shared: &Arc<Shared>) {
        // What is given up unsets the deadline that the next one sets.
        self.awaited = None;
        self.awaited = (self.version == Version::HTTP_2 && !session.is_body_done())
            .then(|| Awaited::begin(&self.runtime.edge, session.req_header(), shared));
    }

    /// Waits for it no longer: the request has failed, and what is left of it is of no use.
    pub fn give_body_up(&mut self) {
        self.awaited = None;
    }

    /// Counts a piece of the request's body. Each piece is time for the API to wait anew, so the whole is bounded here.
    ///
    /// # Errors
    /// The why-code of a body that is larger than its route takes, or later.
    pub fn receive(&mut self, octets: usize, is_last: bool) -> Result<(), Code> {
        self.body_received = self.body_received.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        self.body_is_whole = is_last;
        if is_last {
            self.awaited = None;
            if self.body_received > 0 {
                self.body_ended = Some(Instant::now());
            }
        }
        let limit = self.route.as_ref().map_or(0, |route| route.rule.max_body);
        if self.body_received > limit {
            Err(Code::BodyTooLarge)
        } else if !is_last && (self.is_overdue() || self.awaited.as_mut().is_some_and(|body| body.is_late(octets))) {
            Err(Code::RequestTimeout)
        } else {
            Ok(())
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let Some(body) = self.awaited.take_if(|body| body.is_overdue(Instant::now())) else { return };
        self.reason = match (self.answered, self.upstream_ended) {
            // The answer was whole before the request; how that ended is no part of it.
            (_, Some(_)) => None,
            (Some(_), None) => Some(Closed::BodyTimeout.as_str()),
            (None, None) => Some(Code::RequestTimeout.as_str()),
        };
        let exchange = Exchange {
            method: &body.method,
            target: &body.target,
            status: self.answered.map_or(0, |status| status.as_u16()),
            bytes_in: self.body_received,
            // Pingora alone has counted them.
            bytes_out: 0,
            is_cut: false,
        };
        let record = self.record(&exchange, &body.shared.metrics);
        body.shared.access_log.log(Record::Request(Box::new(record)));
    }
}
