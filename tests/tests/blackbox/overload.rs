//! Real load that passes the bounds of `[overload]`: the gateway refuses, answers its operators the whole time, and comes
//! back by itself once the load is gone.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use todo_tests::{
    h2_frames::{Frame, Http2},
    origin::{Origin, ok},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, task::JoinHandle};

use crate::{bounds::metric, config::PATIENCE, service::Services};

struct Edge {
    gateway: Gateway,
    _origin: Origin,
    _folder: TempDir,
}

impl Edge {
    async fn start() -> Self {
        // Held once, however many ask for it.
        let large = Bytes::from(ok(&"a".repeat(16 << 20)));
        let origin = Origin::start(move |asked| {
            let answer = if asked.target().ends_with("large") { large.clone() } else { ok("hello").into() };
            std::future::ready(answer)
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        // What is kept for the next request is open as well, and must not be what the end of an overload waits for.
        let extra = "[upstreams.api]\nidle_timeout = \"1s\"\n";
        let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
        Self { gateway, _origin: origin, _folder: folder }
    }

    fn process(&self) -> String {
        format!("/proc/{}", self.gateway.process.id())
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("{}/fd", self.process())).unwrap().count()
    }

    /// Resident memory in MiB.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("{}/status", self.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }

    async fn bound(&self, key: &str, bound: &str) {
        let reloads = async || metric(&self.gateway, "gateway_reloads_total", "").await;
        let before = reloads().await;
        self.gateway.reconfigure(&format!("[overload]\n{key} = \"{bound}\"\n")).unwrap();
        eventually("the bound to be in force", PATIENCE, async || (reloads().await > before).then_some(())).await;
    }

    async fn overloaded(&self, resource: &str, wanted: u64) {
        let label = format!("resource=\"{resource}\"");
        let what = format!("gateway_overloaded{{{label}}} {wanted}");
        eventually(&what, PATIENCE, async || {
            (metric(&self.gateway, "gateway_overloaded", &label).await == wanted).then_some(())
        })
        .await;
    }
}

/// An operator who looks at the admin listener again and again, and has to be answered each time.
struct Operator {
    task: JoinHandle<u32>,
    stop: Arc<AtomicBool>,
}

impl Operator {
    fn begin(gateway: &Gateway) -> Self {
        let admin = gateway.admin().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                for path in ["/livez", "/readyz", "/metrics"] {
                    admin.get(path).await.expect(200);
                }
                looks += 1;
            }
            looks
        });
        Self { task, stop }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.task.await.unwrap() > 0);
    }
}

/// What the clients of a crowd were told.
#[derive(Default)]
struct Told {
    served: AtomicU32,
    refused: AtomicU32,
    stop: AtomicBool,
}

pub(crate) async fn a_crowd_beyond_the_descriptors_is_refused_until_it_leaves(_: &Services) {
    const CROWD: usize = 120;
    let edge = Edge::start().await;
    let bound = edge.descriptors() + 60;
    edge.bound("max_descriptors", &bound.to_string()).await;
    let operator = Operator::begin(&edge.gateway);
    let (told, config) = (Arc::new(Told::default()), Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap()));
    let port = edge.gateway.https_port;
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let (told, config) = (Arc::clone(&told), Arc::clone(&config));
            tokio::spawn(async move {
                while !told.stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = connect_tls(Arc::clone(&config), port, "localhost").await else { continue };
                    while !told.stop.load(Ordering::Relaxed)
                        && stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok()
                    {
                        let Ok(answer) = read_answer(&mut stream, false).await else { break };
                        if answer.status == 200 {
                            assert_eq!(answer.body, b"hello");
                            told.served.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overloaded")));
                        assert!(answer.field("retry-after").is_some());
                        told.refused.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
            })
        })
        .collect();
    eventually("clients to be served and refused, and connections to be turned away", PATIENCE, async || {
        let turned_away = metric(&edge.gateway, "gateway_connections_refused_total", "overload").await;
        let (served, refused) = (told.served.load(Ordering::Relaxed), told.refused.load(Ordering::Relaxed));
        (served > 0 && refused > 0 && turned_away > 0).then_some(())
    })
    .await;
    told.stop.store(true, Ordering::Relaxed);
    for client in crowd {
        client.await.unwrap();
    }
    let refusals = metric(&edge.gateway, "gateway_refusals_total", "overloaded").await;
    assert!(refusals >= u64::from(told.refused.load(Ordering::Relaxed)), "{refusals}");
    edge.overloaded("descriptors", 0).await;
    edge.gateway.client().unwrap().get("/v1/x").await.expect(200);
    operator.end().await;
}

pub(crate) async fn answers_that_nobody_takes_are_refused_beyond_the_memory(_: &Services) {
    const INITIAL_WINDOW: u16 = 4;
    let edge = Edge::start().await;
    let kept = edge.gateway.client().unwrap();
    kept.get("/v1/x").await.expect(200);
    let bound = edge.resident() + 48;
    edge.bound("max_memory", &format!("{bound}MiB")).await;
    let operator = Operator::begin(&edge.gateway);
    // Windows as wide as they go, and nobody who reads: what the API answers waits in the gateway.
    let mut readers = Vec::new();
    let is_over = async || metric(&edge.gateway, "gateway_overloaded", "resource=\"memory\"").await == 1;
    for reader in 0..40 {
        if reader % 4 == 0 && is_over().await {
            break;
        }
        let Ok(mut http2) =
            Http2::connect_with(&edge.gateway.ca(), edge.gateway.https_port, &[(INITIAL_WINDOW, 1 << 30)]).await
        else {
            break;
        };
        let requests: Vec<_> = (1..40).step_by(2).flat_map(|stream| Frame::get(stream, "/v1/large").octets()).collect();
        let octets = [Frame::window_update(0, 1 << 30).octets(), requests].concat();
        if http2.write(&octets).await.is_err() {
            break;
        }
        readers.push(http2);
    }
    edge.overloaded("memory", 1).await;
    assert!(edge.resident() >= bound * 9 / 10, "it is real");
    let refused = kept.get("/v1/x").await;
    refused.expect_problem(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
    edge.gateway.client().unwrap().send("GET", "/v1/x", &[], None).await.expect_err("turned away");
    drop(readers);
    // Those who come again are what an idle thread's freed memory waits for: the allocator gives it back as it is asked.
    eventually("a client that tries again to be served", PATIENCE, async || {
        let answer = edge.gateway.client().unwrap().send("GET", "/v1/x", &[], None).await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    edge.overloaded("memory", 0).await;
    operator.end().await;
}
