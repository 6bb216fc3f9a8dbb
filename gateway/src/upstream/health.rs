//! Active health checks: one small request to each address of an upstream, every interval.
//!
//! A check opens its own connection, because an idle one from the pool would say nothing about whether new ones are
//! accepted. It asks for a path that answers 200 when the API wants traffic (`/readyz`). Other answers, and none, count only
//! when there are several in a row; but an API that says that it is stopping is believed at once, because it will be gone
//! soon and nothing that is sent to it then arrives.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use memchr::memmem;
use todo_shared::problem::Code;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    observe::problem_code::code_of,
    upstream::{Endpoint, Upstream},
};

/// How health is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRule {
    /// What is asked for.
    pub path: String,
    /// From one check to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Good answers in a row that make an address healthy again.
    pub healthy_after: u32,
    /// Bad ones in a row that make it unhealthy.
    pub unhealthy_after: u32,
}

impl HealthRule {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let second = Duration::from_secs(1);
        Self { path: "/readyz".to_owned(), interval: second, timeout: second, healthy_after: 2, unhealthy_after: 3 }
    }
}

/// The most that is read of an answer, in octets.
const LARGEST: u64 = 8 << 10;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The address wants traffic.
    Well,
    /// It does not, or it did not answer.
    Unwell,
    /// It says that it is stopping.
    Stopping,
}

/// Counts answers in a row and says when the verdict turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Streak {
    against: u32,
}

impl Streak {
    /// The verdict after one more answer, given the verdict so far.
    fn next(&mut self, rule: &HealthRule, healthy: bool, found: Found) -> bool {
        let good = found == Found::Well;
        if good == healthy || found == Found::Stopping {
            self.against = 0;
            return good;
        }
        self.against = self.against.saturating_add(1);
        let enough = if healthy { rule.unhealthy_after } else { rule.healthy_after };
        if self.against < enough {
            return healthy;
        }
        self.against = 0;
        good
    }
}

/// Checks every address of these upstreams until it is dropped.
pub async fn watch(upstreams: &[Arc<Upstream>]) -> Infallible {
    let mut checks = JoinSet::new();
    for upstream in upstreams {
        for endpoint in upstream.endpoints() {
            checks.spawn(watch_endpoint(Arc::clone(upstream), Arc::clone(endpoint)));
        }
    }
    // The tasks never end by themselves; dropping the set ends them.
    while checks.join_next().await.is_some() {}
    std::future::pending().await
}

async fn watch_endpoint(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) {
    let rule = &upstream.rule.health;
    let mut streak = Streak::default();
    let mut ticks = interval(rule.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = timeout(rule.timeout, check(endpoint.address, &rule.path)).await;
        let found = answer.ok().and_then(Result::ok).unwrap_or(Found::Unwell);
        let before = endpoint.is_healthy();
        let after = streak.next(rule, before, found);
        if after != before {
            endpoint.set_healthy(after);
            let (upstream, address) = (&upstream.rule.name, endpoint.address);
            if after {
                tracing::info!(%upstream, %address, "the address is healthy again");
            } else if found == Found::Stopping {
                tracing::info!(%upstream, %address, "the address is stopping");
            } else {
                tracing::warn!(%upstream, %address, "the address is unhealthy");
            }
        }
    }
}

async fn check(address: SocketAddr, path: &str) -> io::Result<Found> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line).await?;
    if &status_line == b"HTTP/1.1 200" {
        return Ok(Found::Well);
    }
    let mut rest = Vec::new();
    stream.take(LARGEST).read_to_end(&mut rest).await?;
    let body = memmem::find(&rest, b"\r\n\r\n").and_then(|end| rest.get(end + 4..)).unwrap_or_default();
    Ok(if code_of(body) == Some(Code::Draining) { Found::Stopping } else { Found::Unwell })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use todo_shared::problem::Problem;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_verdict_turns_after_enough_answers_in_a_row() {
        let rule = HealthRule::for_tests();
        let mut streak = Streak::default();
        let mut healthy = true;
        let mut verdicts = String::new();
        for answer in "--+---+-++s+-++".chars() {
            let found = match answer {
                '+' => Found::Well,
                's' => Found::Stopping,
                _ => Found::Unwell,
            };
            healthy = streak.next(&rule, healthy, found);
            verdicts.push(if healthy { '+' } else { '-' });
        }
        assert_eq!(verdicts, "+++++----+----+");
    }

    proptest! {
        #[test]
        fn a_verdict_never_turns_without_enough_answers_against_it(answers in proptest::collection::vec(any::<bool>(), 0..60)) {
            let rule = HealthRule::for_tests();
            let mut streak = Streak::default();
            let mut healthy = true;
            for (at, good) in answers.iter().enumerate() {
                let after = streak.next(&rule, healthy, if *good { Found::Well } else { Found::Unwell });
                if after != healthy {
                    let enough = if healthy { 3 } else { 2 };
                    prop_assert!(answers[..=at].iter().rev().take(enough).filter(|good| **good == after).count() == enough);
                }
                healthy = after;
            }
        }
    }

    #[tokio::test]
    async fn only_200_is_healthy_and_a_stop_is_recognised() {
        let problem = |code| {
            let document = Problem::new(code).to_json("id-1");
            let body = String::from_utf8(document).expect("text");
            format!("503 Service Unavailable\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        for (answer, expected) in [
            ("200 OK\r\n\r\n".to_owned(), Found::Well),
            ("204 No Content\r\n\r\n".to_owned(), Found::Unwell),
            ("503 Service Unavailable\r\n\r\n".to_owned(), Found::Unwell),
            (problem(Code::DatabaseUnavailable), Found::Unwell),
            (problem(Code::Draining), Found::Stopping),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
            let address = listener.local_addr().expect("address");
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("connection");
                let mut head = vec![0; 256];
                let length = stream.read(&mut head).await.expect("head");
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.expect("answer");
                head.truncate(length);
                String::from_utf8(head).expect("text")
            });
            assert_eq!(check(address, "/readyz").await.ok(), Some(expected));
            assert!(server.await.expect("server").starts_with("GET /readyz HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        drop(listener);
        assert!(check(address, "/").await.is_err());
    }
}
