//! Whether a request that failed may be sent again, and to whom.
//!
//! | what happened | who may be sent again |
//! |---|---|
//! | no connection, or no TLS: no octet of the request was sent | every request |
//! | a connection, new or kept, that ended or fell silent or said garbage before an answer began | idempotent methods (RFC 9110, section 9.2.2) |
//! | the answer has begun, or was one: 5xx is an answer | nobody |
//!
//! A kept connection that closes before an answer proves nothing about a request that is not idempotent: the API may
//! have done the work and died before it could say so. Such a request is never sent twice.
//!
//! Every retry takes from the upstream's budget, goes to another address (to the same one only where a kept connection
//! had gone stale and there is no other), and needs the whole body, of which Pingora keeps 64 KiB.

use pingora::{Error, ErrorSource, proxy::Session};
use todo_shared::problem::Code;

use crate::{failure, reply, request::context::Context};

/// Where an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before there was a connection.
    Connecting,
    /// On a connection of its own.
    Fresh,
    /// On one that was kept.
    Kept,
}

/// Learns from a failed attempt, and marks the error for another one where that is safe.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora hands errors around in boxes")]
pub fn after(session: &Session, context: &mut Context, stage: Stage, mut error: Box<Error>) -> Box<Error> {
    error.set_retry(false);
    if let Some(code) = at_fault(context, &error) {
        context.note_failure();
        if is_safe(session, stage) && context.prepare_retry(stage, code) {
            error.set_retry(true);
        }
    }
    error
}

/// The why-code, where the upstream is to blame.
fn at_fault(context: &Context, error: &Error) -> Option<Code> {
    if *error.esource() != ErrorSource::Upstream {
        return None;
    }
    match context.failure {
        // Ours: the request's time was over.
        Some(Code::UpstreamTimeout) => None,
        Some(code) => Some(code),
        None => failure::code_of(error, context.body_is_whole),
    }
    .filter(|code| matches!(code, Code::UpstreamUnreachable | Code::UpstreamTimeout | Code::UpstreamInvalid))
}

fn is_safe(session: &Session, stage: Stage) -> bool {
    let nothing_sent = stage == Stage::Connecting;
    (nothing_sent || session.req_header().method.is_idempotent())
        && !reply::has_begun(session)
        && !session.as_ref().retry_buffer_truncated()
}
