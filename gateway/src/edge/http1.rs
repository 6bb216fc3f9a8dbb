//! The HTTP/1 loop: reads each head under its deadlines, has it checked, and lets Pingora serve one request at a time.
//!
//! An idle deadline runs until the first octet of a request, then one deadline for the whole head, however it trickles.
//! Pingora's own keep-alive is never used: it has no deadline for heads, and no hook before its refusals.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use memchr::{memchr, memmem};
use pingora_core::{
    apps::{HttpPersistentSettings, HttpServerApp as _},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use pingora_proxy::{HttpProxy, ProxyHttp};
use todo_shared::problem::Code;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::edge::{
    Closed, Presence, Settings,
    chunks::look_ahead,
    gate::Gate,
    head::{Found, Framing, Refusal, check},
};

/// What came of waiting for a head.
enum Next {
    /// A head of this many octets is held.
    Head(usize, Framing),
    /// It must not pass.
    Refused(Refusal),
    /// The connection ends here, for this reason if it is not the client's own wish.
    Over(Option<Closed>),
}

/// Serves a connection until it ends.
pub(super) async fn serve<SV>(
    proxy: &Arc<HttpProxy<SV>>,
    mut presence: Presence<'_>,
    mut gate: Gate,
    shutdown: &ShutdownWatch,
) where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    let mut kept: Option<HttpPersistentSettings> = None;
    loop {
        let settings = presence.surroundings.settings();
        let (octets, framing) = match next_head(&mut gate, &settings, shutdown.clone()).await {
            Next::Head(octets, framing) => (octets, framing),
            Next::Refused(refusal) => {
                let mut answer = presence.surroundings.refused(&presence.info, &refusal, gate.held().len());
                if gate.held().starts_with(b"HEAD ") {
                    leave_head(&mut answer);
                }
                gate.answer_and_close(&answer).await;
                return;
            }
            Next::Over(reason) => {
                presence.reason = reason;
                gate.close().await;
                return;
            }
        };
        let head = gate.open(octets, framing);
        gate.age().begin(presence.info.opened, Instant::now().into_std(), settings.max_age, settings.age_grace);
        let mut session = ServerSession::new_http1(Box::new(gate));
        // Zero: the connection is kept and Pingora does not wait for anything on it.
        session.set_keepalive(Some(0));
        if let Some(settings) = kept.take() {
            settings.apply_to_session(&mut session);
        }
        session.set_pipelined_prefix(head);
        presence.served += 1;
        let reused = proxy.process_new_http(session, shutdown).await;
        // The filter that says so in the answer has decided it. A connection that waits is left to its idle deadline: whoever
        // closes a waiting one may do it in the moment in which a request is on its way.
        let old = presence.info.has_grown_old().then_some(Closed::AgeLimit);
        presence.reason = presence.info.was_cut_for().or(old);
        let Some(reused) = reused else { return };
        let (stream, settings) = reused.consume();
        kept = settings;
        match stream.into_any().downcast::<Gate>() {
            Ok(same) if same.is_between_requests() => gate = *same,
            // A request that was not read to its end leaves nothing to go on with; dropping the gate ends it well.
            _ => return,
        }
    }
}

async fn next_head(gate: &mut Gate, settings: &Settings, mut shutdown: ShutdownWatch) -> Next {
    if gate.held().is_empty() {
        let idle = timeout(settings.idle_timeout, gate.fill());
        tokio::select! {
            // A request that has begun is served; a connection that only waits is closed soon after the gateway stops.
            biased;
            filled = idle => match filled {
                Ok(Ok(1..)) => {}
                Ok(_) => return Next::Over(None),
                Err(_) => return Next::Over(Some(Closed::IdleTimeout)),
            },
            () = stopped(&mut shutdown, settings.idle_grace) => return Next::Over(None),
        }
    }
    let deadline = Instant::now() + settings.head_timeout;
    let (mut empty_lines, mut checked) = (0, 0);
    loop {
        while empty_lines < MOST_EMPTY_LINES && gate.skip_empty_line() {
            empty_lines += 1;
        }
        if is_worth_a_check(gate.held(), checked) {
            match check(gate.held(), &settings.head) {
                Found::Whole { octets, framing } => {
                    let body = gate.held().get(octets..).unwrap_or_default();
                    return match (framing, look_ahead(body)) {
                        (Framing::Chunked, Err(refusal)) => Next::Refused(refusal),
                        _ => Next::Head(octets, framing),
                    };
                }
                Found::Refused(refusal) => return Next::Refused(refusal),
                Found::Partial => checked = gate.held().len(),
            }
        }
        match timeout_at(deadline, gate.fill()).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Next::Over(None),
            Err(_) if gate.held().is_empty() => return Next::Over(Some(Closed::HeadTimeout)),
            Err(_) => return Next::Refused(LATE),
        }
    }
}

/// Whether more can be known than when this many octets had arrived: a line has ended since, or there is twice as much.
/// Else a head that comes octet by octet would cost the square of its length.
fn is_worth_a_check(held: &[u8], checked: usize) -> bool {
    held.len() >= 2 * checked || memchr(b'\n', held.get(checked..).unwrap_or_default()).is_some()
}

/// Empty lines that a client may send before a request (RFC 9112 section 2.2).
const MOST_EMPTY_LINES: u8 = 2;

const LATE: Refusal = Refusal { code: Code::RequestTimeout, reason: "the head did not arrive in time" };

/// An answer to HEAD has no content (RFC 9110 section 9.3.2).
fn leave_head(answer: &mut Bytes) {
    if let Some(end) = memmem::find(answer, b"\r\n\r\n") {
        answer.truncate(end + 4);
    }
}

/// Completes some time after the gateway is told to stop: a request may be on its way.
pub(super) async fn stopped(shutdown: &mut ShutdownWatch, grace: Duration) {
    if shutdown.wait_for(|stopping| *stopping).await.is_err() {
        // The sender is gone, and with it whoever could tell.
        std::future::pending::<()>().await;
    }
    // Even no time at all takes until the clock's next tick, and who asks anew at each event might never get there.
    if !grace.is_zero() {
        sleep(grace).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_comes_octet_by_octet_is_not_checked_for_each() {
        let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(5000), "b".repeat(5000));
        let (mut checked, mut checks) = (0, Vec::new());
        for end in 1..=head.len() {
            if is_worth_a_check(&head.as_bytes()[..end], checked) {
                checked = end;
                checks.push(end);
            }
        }
        assert!(checks.len() <= 4 + 14, "one for each line and each doubling: {checks:?}");
        assert_eq!(checked, head.len(), "a whole head is always seen");
    }
}
