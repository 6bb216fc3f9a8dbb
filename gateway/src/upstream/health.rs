//! Active health checks: one small request to each address of an upstream, every interval.
//!
//! A check opens its own connection, because an idle one from the pool would say nothing about whether new ones are
//! accepted. It asks for a path that answers 200 when the API wants traffic (`/readyz`). An answer that does not come says
//! little, and takes several in a row to count; 503 is the address's own word that it wants no requests (it is stopping, or
//! has just started and is not ready), and counts at once: until the second check, users would get that answer too.

use std::{collections::HashMap, convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use tokio_rustls::TlsConnector;

use crate::upstream::{Endpoint, Upstream, endpoint::now, tls::UpstreamTls};

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
    /// Bad ones in a row that make it unhealthy; one is enough where the answer is 503.
    pub unhealthy_after: u32,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// 200.
    Good,
    /// No answer, or one that is neither good nor a refusal.
    Bad,
    /// 503.
    Refusal,
}

/// The most of an answer that is read: it is read at all so that the other side can end the connection in order.
const MAX_ANSWER: u64 = 16 << 10;

/// How long that may take.
const LINGER: Duration = Duration::from_millis(100);

impl HealthRule {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let second = Duration::from_secs(1);
        Self { path: "/readyz".to_owned(), interval: second, timeout: second, healthy_after: 2, unhealthy_after: 3 }
    }
}

/// Counts answers in a row and says when the verdict turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Streak {
    against: u32,
}

impl Streak {
    /// The verdict after one more answer, given the verdict so far.
    fn next(&mut self, rule: &HealthRule, healthy: bool, finding: Finding) -> bool {
        let good = finding == Finding::Good;
        if finding == Finding::Refusal {
            self.against = 0;
            return false;
        }
        if good == healthy {
            self.against = 0;
            return healthy;
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
    let mut watches = JoinSet::new();
    for upstream in upstreams {
        watches.spawn(watch_upstream(Arc::clone(upstream)));
    }
    // The tasks never end by themselves; dropping the set ends them.
    while watches.join_next().await.is_some() {}
    std::future::pending().await
}

/// Checks the addresses that are there, as they come and go.
async fn watch_upstream(upstream: Arc<Upstream>) {
    let mut moves = upstream.moves();
    let mut checks = JoinSet::new();
    let mut running: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    loop {
        let targets = upstream.targets();
        running.retain(|address, check| {
            let stays = targets.iter().any(|target| target.endpoint.address == *address);
            if !stays {
                check.abort();
            }
            stays
        });
        for target in targets.iter() {
            running
                .entry(target.endpoint.address)
                .or_insert_with(|| checks.spawn(watch_endpoint(Arc::clone(&upstream), Arc::clone(&target.endpoint))));
        }
        tokio::select! {
            // The sender lives as long as the upstream.
            _ = moves.changed() => {}
            Some(_) = checks.join_next() => {}
        }
    }
}

async fn watch_endpoint(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) {
    let rule = &upstream.rule.health;
    let mut streak = Streak::default();
    let mut ticks = interval(rule.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = timeout(rule.timeout, check(endpoint.address, &rule.path, upstream.rule.tls.as_ref())).await;
        let (finding, rest) = match answer {
            Ok(Ok((finding, stream))) => (finding, Some(stream)),
            Ok(Err(_)) | Err(_) => (Finding::Bad, None),
        };
        let before = endpoint.is_healthy();
        let after = streak.next(rule, before, finding);
        let (upstream, address) = (&*upstream.rule.name, endpoint.address);
        if endpoint.note_return(now()) {
            tracing::info!(upstream, %address, "the address is no longer set aside");
        }
        if after != before {
            endpoint.set_healthy(after);
            if after {
                tracing::info!(upstream, %address, "the address is healthy again");
            } else {
                tracing::warn!(upstream, %address, "the address is unhealthy");
            }
        }
        // The verdict is in the first line and stands: whoever is slow with the rest has spoken all the same.
        if let Some(stream) = rest {
            let _ = timeout(LINGER, tokio::io::copy(&mut stream.take(MAX_ANSWER), &mut tokio::io::sink())).await;
        }
    }
}

/// Asks once; what is left to read of the answer is in the stream.
async fn check(
    address: SocketAddr,
    path: &str,
    tls: Option<&UpstreamTls>,
) -> io::Result<(Finding, Box<dyn Connection>)> {
    let mut stream = connect(address, tls).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line).await?;
    let finding = match &status_line {
        b"HTTP/1.1 200" => Finding::Good,
        b"HTTP/1.1 503" => Finding::Refusal,
        _ => Finding::Bad,
    };
    Ok((finding, stream))
}

/// A connection, with or without TLS.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

async fn connect(address: SocketAddr, tls: Option<&UpstreamTls>) -> io::Result<Box<dyn Connection>> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.checks));
            Ok(Box::new(connector.connect(tls.server_name.clone(), stream).await?))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_verdict_turns_after_enough_answers_in_a_row() {
        let rule = HealthRule::for_tests();
        let mut streak = Streak::default();
        let mut healthy = true;
        let mut verdicts = String::new();
        for finding in "bbgbbbgbggRgRgg".chars() {
            let finding = match finding {
                'g' => Finding::Good,
                'b' => Finding::Bad,
                _ => Finding::Refusal,
            };
            healthy = streak.next(&rule, healthy, finding);
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
                let finding = if *good { Finding::Good } else { Finding::Bad };
                let after = streak.next(&rule, healthy, finding);
                if after != healthy {
                    let enough = if healthy { 3 } else { 2 };
                    prop_assert!(answers[..=at].iter().rev().take(enough).filter(|good| **good == after).count() == enough);
                }
                healthy = after;
            }
        }
    }

    #[tokio::test]
    async fn only_200_is_healthy() {
        let cases = [
            ("200 OK", Finding::Good),
            ("503 Service Unavailable", Finding::Refusal),
            ("204 No Content", Finding::Bad),
        ];
        for (status, expected) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
            let address = listener.local_addr().expect("address");
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("connection");
                let mut head = vec![0; 256];
                let length = stream.read(&mut head).await.expect("head");
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.expect("answer");
                head.truncate(length);
                String::from_utf8(head).expect("text")
            });
            assert_eq!(check(address, "/readyz", None).await.ok().map(|(finding, _)| finding), Some(expected));
            assert!(server.await.expect("server").starts_with("GET /readyz HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn an_answer_whose_connection_stays_open_is_one_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("connection");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("answer");
            // Ends when the other side does.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        });
        // Without a limit of its own: reading to the end would never come back.
        let (finding, stream) = check(address, "/readyz", None).await.expect("an answer");
        assert_eq!(finding, Finding::Good);
        drop(stream);
        server.await.expect("server");
    }

    #[tokio::test]
    async fn a_closed_port_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        drop(listener);
        assert!(check(address, "/", None).await.is_err());
    }
}
