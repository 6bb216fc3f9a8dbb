//! Several addresses behind one gateway, one of which misbehaves: what is sent again, what is not, and who is set aside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use todo_tests::{
    client::Client,
    origin::{Origin, ok},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};

use tokio::io::AsyncWriteExt as _;

use crate::service::Services;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whatever an address does.
pub(crate) const NEVER_SET_ASIDE: &str = "eject_after = 0\neject_failure_percent = 0\n";

/// A gateway before a good origin and one that is not.
pub(crate) struct Pair {
    pub(crate) gateway: Gateway,
    pub(crate) client: Client,
    pub(crate) good: Origin,
    pub(crate) bad: Origin,
    _folder: TempDir,
}

impl Pair {
    /// Starts them with these keys of the upstream. Checks find nothing out: they ask once an hour.
    pub(crate) async fn start(bad: Origin, keys: &str) -> Self {
        let good = Origin::plain().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let extra = format!("[upstreams.api]\nhealth_interval = \"1h\"\n{keys}");
        let gateway = Gateway::start(folder.path(), &[good.port, bad.port], &extra).await.unwrap();
        let client = gateway.client().unwrap();
        Self { gateway, client, good, bad, _folder: folder }
    }

    /// Asks until the bad one was asked as well.
    pub(crate) async fn until_bad(&self, ask: impl AsyncFn(&Client)) {
        let before = self.bad.requests().len();
        eventually("the bad one to be asked", PATIENCE, async || {
            ask(&self.client).await;
            (self.bad.requests().len() > before).then_some(())
        })
        .await;
    }
}

/// Reads a request, and closes without a word.
pub(crate) async fn silent() -> Origin {
    Origin::start(async |_| "CLOSE".to_owned()).await.unwrap()
}

/// Answers everything with 500.
pub(crate) async fn failing() -> Origin {
    Origin::start(async |_| "HTTP/1.1 500 broken\r\nContent-Length: 0\r\n\r\n".to_owned()).await.unwrap()
}

/// Answers every second request with 500.
pub(crate) async fn half_failing() -> Origin {
    let asked = AtomicUsize::new(0);
    let answer = move |_| {
        let is_well = asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        std::future::ready(if is_well { ok("well") } else { "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n".to_owned() })
    };
    Origin::start(answer).await.unwrap()
}

/// The sum of a metric's series whose labels contain this text.
pub(crate) async fn metric(gateway: &Gateway, name: &str, labels: &str) -> u64 {
    let text = gateway.admin().unwrap().get("/metrics").await.text;
    let of_it =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels);
    text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

pub(crate) async fn only_what_is_safe_is_sent_again(_: &Services) {
    let garbage = async || Origin::start(async |_| "no HTTP at all\r\n\r\n".to_owned()).await.unwrap();
    for bad in [silent().await, garbage().await] {
        let pair = Pair::start(bad, &format!("{NEVER_SET_ASIDE}retry_floor = 1000\n")).await;
        for method in ["GET", "DELETE"] {
            pair.until_bad(async |client| drop(client.send(method, "/v1/x", &[], None).await.unwrap().expect(200)))
                .await;
        }
        // What is not idempotent reaches one address, once, whatever comes of it.
        for method in ["POST", "PATCH"] {
            for round in 0..20 {
                let path = format!("/v1/{method}-{round}");
                let body = Some("{}".to_owned());
                let answer =
                    pair.client.send(method, &path, &[("content-type", "application/json")], body).await.unwrap();
                assert!([200, 502].contains(&answer.status), "{}", answer.text);
                let seen =
                    |origin: &Origin| origin.requests().iter().filter(|request| request.target() == path).count();
                assert_eq!(seen(&pair.good) + seen(&pair.bad), 1, "{path}");
                assert_eq!(seen(&pair.good) == 1, answer.status == 200, "{path}");
                if answer.status == 502 {
                    assert!(answer.header("retry-after").is_some());
                }
            }
        }
        assert!(pair.bad.requests().iter().any(|request| request.line.starts_with("POST ")), "it was tried");
    }

    // Where no connection comes about, nothing was sent: every request goes to somebody else.
    let dead = Origin::plain().await.unwrap();
    let port = dead.port;
    drop(dead);
    let good = Origin::plain().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = format!("[upstreams.api]\nhealth_interval = \"1h\"\n{NEVER_SET_ASIDE}retry_floor = 1000\n");
    let gateway = Gateway::start(folder.path(), &[good.port, port], &keys).await.unwrap();
    let client = gateway.client().unwrap();
    for _ in 0..40 {
        client.send("POST", "/v1/x", &[], Some("{}".to_owned())).await.unwrap().expect(200);
    }
    assert_eq!(good.requests().len(), 40);
    assert!(metric(&gateway, "gateway_upstream_retries_total", "").await > 0);
}

pub(crate) async fn a_large_body_is_sent_once(_: &Services) {
    // Pingora keeps 64 KiB of a body: a larger one cannot be sent again, and a smaller one arrives whole.
    let route = "[[routes]]\nname = \"all\"\npaths = [\"/*\"]\nmethods = [\"PUT\"]\nupstream = \"api\"\ntimeout = \"30s\"\nmax_body = \"1MiB\"\n";
    let pair = Pair::start(silent().await, &format!("{NEVER_SET_ASIDE}retry_floor = 1000\n{route}")).await;
    for (size, may_fail) in [(60_000, false), (200_000, true)] {
        let body = "x".repeat(size);
        let mut failed = false;
        pair.until_bad(async |client| {
            let answer = client.send("PUT", "/v1/x", &[], Some(body.clone())).await.unwrap();
            assert!(answer.status == 200 || (may_fail && answer.status == 502), "{size}: {}", answer.status);
        })
        .await;
        failed |= metric(&pair.gateway, "gateway_refusals_total", "upstream_unreachable").await > 0;
        assert_eq!(failed, may_fail, "{size}");
        assert!(pair.good.requests().iter().all(|request| request.body.len() == size || request.body.len() == 60_000));
    }
}

pub(crate) async fn whoever_was_set_aside_comes_back(_: &Services) {
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    let moody = Origin::start(move |_| {
        let broken = state.load(Ordering::Relaxed);
        async move { if broken { "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n".to_owned() } else { ok("well") } }
    });
    let keys = "eject_after = 2\neject_time = \"300ms\"\nslow_start = \"0s\"\n";
    let pair = Pair::start(moody.await.unwrap(), keys).await;
    eventually("it to be set aside", PATIENCE, async || {
        pair.client.get("/v1/x").await;
        (metric(&pair.gateway, "gateway_upstream_ejections_total", "errors").await == 1).then_some(())
    })
    .await;
    broken.store(false, Ordering::Relaxed);
    eventually("it to be asked again", PATIENCE, async || {
        (pair.client.get("/v1/x").await.text == "well").then_some(())
    })
    .await;
}

pub(crate) async fn a_stale_connection_costs_no_read(_: &Services) {
    // One address, which answers one request on each connection and closes at the next one, as if it had been idle for
    // too long: asked again on a new connection, it answers.
    let answers_once = Origin::start_counting(async |_, nth| if nth == 0 { ok("first") } else { "CLOSE".to_owned() });
    let origin = answers_once.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = "[upstreams.api]\nhealth_interval = \"1h\"\n";
    let gateway = Gateway::start(folder.path(), &[origin.port], keys).await.unwrap();
    let client = gateway.client().unwrap();
    for _ in 0..10 {
        client.get("/v1/x").await.expect(200);
    }
    let before = origin.requests().len();
    let answer = client.send("POST", "/v1/x", &[], None).await.unwrap();
    assert_eq!(origin.requests().len(), before + 1, "{}: it may have been done", answer.status);
}

pub(crate) async fn series_of_addresses_that_are_gone_go_too(_: &Services) {
    let pair = Pair::start(failing().await, "eject_after = 1\n").await;
    let gone = format!("127.0.0.1:{}", pair.bad.port);
    pair.until_bad(async |client| drop(client.get("/v1/x").await)).await;
    let text = async || pair.gateway.admin().unwrap().get("/metrics").await.text;
    assert!(text().await.contains(&gone));
    pair.gateway.reconfigure(&format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\"]\n", pair.good.port)).unwrap();
    eventually("its series to go", PATIENCE, async || (!text().await.contains(&gone)).then_some(())).await;
}

/// How long a client takes over its body is no fault of the address that waits for it.
pub(crate) async fn a_slow_client_makes_no_slow_address(_: &Services) {
    let keys = "eject_after = 2\neject_slow_floor = \"50ms\"\neject_slow_factor = 2\n";
    let pair = Pair::start(Origin::plain().await.unwrap(), keys).await;
    for _ in 0..20 {
        pair.client.get("/v1/x").await.expect(200);
    }
    let config = Arc::new(tls_config(&pair.gateway.ca(), &["http/1.1"]).unwrap());
    for _ in 0..12 {
        let mut stream = connect_tls(Arc::clone(&config), pair.gateway.https_port, "localhost").await.unwrap();
        let head =
            "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The slowness is what is tried.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"}").await.unwrap();
        assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
    }
    assert_eq!(metric(&pair.gateway, "gateway_upstream_ejections_total", "latency").await, 0);
}

/// Giving up early would help nobody where the request cannot be sent again.
pub(crate) async fn the_last_try_has_the_time_that_is_left(_: &Services) {
    let short = format!("{NEVER_SET_ASIDE}try_timeout = \"100ms\"\n");
    let no_budget = "retry_percent = 0\nretry_floor = 0\n";
    for (method, keys) in [("GET", no_budget), ("GET", "retries = 0\n"), ("POST", "")] {
        let late = Origin::start(async |_| {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ok("late")
        });
        let pair = Pair::start(late.await.unwrap(), &format!("{short}{keys}")).await;
        pair.until_bad(async |client| {
            let body = (method == "POST").then(|| "{}".to_owned());
            let answer = client.send(method, "/v1/x", &[("content-type", "application/json")], body).await;
            drop(answer.unwrap().expect(200));
        })
        .await;
        assert_eq!(metric(&pair.gateway, "gateway_upstream_retries_total", "").await, 0, "{method} {keys}");
    }
}
