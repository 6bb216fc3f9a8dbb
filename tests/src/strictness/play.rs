//! Plays a case: does what the client does, and keeps what either side saw.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, interval, timeout, timeout_at},
};

use crate::{
    raw::{Answer, read_answer},
    recorder::{Record, Recorder, contains},
    strictness::{Case, Step},
};

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long nothing may come before a peer that does not close is left.
    pub quiet: Duration,
    /// How long a case may wait for what its steps ask for.
    pub patience: Duration,
}

/// What came of a case.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What the client received.
    pub octets: Vec<u8>,
    /// The same as answers.
    pub answers: Vec<Answer>,
    /// Whether the last one broke off, or what follows is no answer.
    pub is_cut: bool,
    /// Whether the peer closed; if not, the case ended because nothing more came.
    pub is_closed: bool,
    /// What the origin received.
    pub record: Record,
}

/// Plays a case on a fresh connection to a proxy in front of this origin.
pub async fn play(case: &Case, origin: &Recorder, mut stream: impl AsyncRead + AsyncWrite + Unpin, pace: Pace) -> Seen {
    origin.says(case.says.clone());
    let mut seen = Seen::default();
    let deadline = Instant::now() + pace.patience;
    for step in &case.steps {
        match step {
            // A peer that has refused does not read on.
            Step::Send(octets) => {
                if stream.write_all(octets).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
            }
            Step::HalfClose => drop(stream.shutdown().await),
            Step::UntilSeen(expected) => {
                while !contains(&seen.octets, expected.as_bytes()) {
                    match timeout_at(deadline, stream.read_buf(&mut seen.octets)).await {
                        Ok(Ok(1..)) => {}
                        _ => break,
                    }
                }
            }
            Step::UntilOriginSaw(expected) => {
                let mut ticks = interval(Duration::from_millis(2));
                while !origin.has_seen(expected.as_bytes()) && Instant::now() < deadline {
                    ticks.tick().await;
                }
            }
        }
    }
    loop {
        match timeout(pace.quiet, stream.read_buf(&mut seen.octets)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => {
                seen.is_closed = true;
                break;
            }
            Err(_) => break,
        }
    }
    let mut rest = seen.octets.as_slice();
    while !rest.is_empty() {
        let Ok(answer) = read_answer(&mut rest, case.is_head).await else {
            seen.is_cut = true;
            break;
        };
        seen.answers.push(answer);
    }
    // The answer that broke off counts by its status.
    if seen.is_cut
        && let Some(status) = status_of(last_head(&seen.octets))
        && seen.answers.len() < heads(&seen.octets)
    {
        seen.answers.push(Answer { status, fields: Vec::new(), body: Vec::new() });
    }
    seen.record = origin.record();
    seen
}

fn heads(octets: &[u8]) -> usize {
    octets.windows(9).filter(|window| *window == b"HTTP/1.1 ").count()
}

fn last_head(octets: &[u8]) -> &[u8] {
    let at = octets.windows(9).rposition(|window| window == b"HTTP/1.1 ");
    at.map_or(&[], |at| &octets[at..])
}

fn status_of(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}
