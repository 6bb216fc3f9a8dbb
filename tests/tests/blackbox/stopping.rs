//! A stop as clients see it: whoever has begun is served, whoever waits is told, and it has an end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tempfile::TempDir;
use todo_tests::{
    h2_frames::{Frame, Http2, PREFACE},
    origin::{Origin, ok},
    ports,
    process::{Process, Signal, tier},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UnixDatagram},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::service::Services;

const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway before an origin that answers when it is allowed to.
struct Edge {
    gateway: Gateway,
    origin: Origin,
    allowed: Arc<Semaphore>,
    _folder: TempDir,
}

impl Edge {
    async fn start() -> Self {
        let (folder, allowed) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(0)));
        let gate = allowed.clone();
        let origin = Origin::start(move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                ok("finished")
            }
        });
        let origin = origin.await.unwrap();
        let extra = "[server]\nidle_grace = \"20s\"\n";
        let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
        Self { gateway, origin, allowed, _folder: folder }
    }

    async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let config = Arc::new(tls_config(&self.gateway.ca(), &[protocol]).unwrap());
        connect_tls(config, self.gateway.https_port, "localhost").await.unwrap()
    }

    /// Tells it to stop, and waits until it accepts nothing more.
    async fn stop(&self) {
        self.gateway.process.signal(Signal::Terminate);
        eventually("nobody to listen", PATIENCE, async || {
            TcpStream::connect(("127.0.0.1", self.gateway.https_port)).await.is_err().then_some(())
        })
        .await;
    }

    async fn asked(&self, requests: usize) {
        eventually("the request to arrive", PATIENCE, async || {
            (self.origin.requests().len() == requests).then_some(())
        })
        .await;
    }
}

async fn speak_h2(stream: TlsStream<TcpStream>) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn ask(sender: &mut SendRequest<Bytes>) -> impl Future<Output = (u16, Bytes)> + use<> {
    let request = Request::get("https://localhost/v1/x").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    async move {
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        let status = answer.status().as_u16();
        let body = timeout(PATIENCE, answer.into_body().data()).await.unwrap().unwrap().unwrap();
        (status, body)
    }
}

pub(crate) async fn http2_clients_are_told_and_their_streams_finish(_: &Services) {
    let mut edge = Edge::start().await;
    let mut sender = speak_h2(edge.connect("h2").await).await.ready().await.unwrap();
    let running = ask(&mut sender);
    edge.asked(1).await;
    edge.stop().await;
    // GOAWAY: no new stream is begun.
    eventually("GOAWAY", PATIENCE, async || sender.clone().ready().await.is_err().then_some(())).await;
    assert!(edge.gateway.process.ended().is_none(), "it has a stream to finish");
    edge.allowed.add_permits(1);
    assert_eq!(running.await, (200, Bytes::from("finished")));
    assert!(edge.gateway.process.wait(PATIENCE).await.success(), "exit code 0");
}

pub(crate) async fn who_has_just_connected_is_served(_: &Services) {
    let mut edge = Edge::start().await;
    let mut h1 = edge.connect("http/1.1").await;
    let mut h2 = Http2::silent(&edge.gateway.ca(), edge.gateway.https_port).await.unwrap();
    edge.stop().await;
    edge.allowed.add_permits(2);
    h1.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut h1, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    // The first request comes with the preface: GOAWAY crosses it and does not undo it. In one piece, because a library that
    // has read GOAWAY before it sent the request would go elsewhere with it.
    let settings = Frame::settings(&[(1, 0)]);
    h2.write(&[PREFACE, &settings.octets(), &Frame::get(1, "/v1/x").octets()].concat()).await.unwrap();
    assert_eq!(h2.outcome(1).await.unwrap().status, 200);
    drop(h2);
    assert!(edge.gateway.process.wait(PATIENCE).await.success(), "nothing is left to wait for");
}

pub(crate) async fn a_second_signal_stops_at_once(_: &Services) {
    let mut edge = Edge::start().await;
    let mut stream = edge.connect("http/1.1").await;
    stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    edge.asked(1).await;
    edge.stop().await;
    assert!(edge.gateway.process.ended().is_none(), "it waits for the answer");
    edge.gateway.process.signal(Signal::Terminate);
    assert!(edge.gateway.process.wait(Duration::from_secs(10)).await.success(), "the longest drain is 30 s");
    read_answer(&mut stream, false).await.expect_err("it was cut");
    assert!(edge.gateway.process.errors().contains("told to stop again"));
}

/// Whether the process that listens on `server` has taken the connection from `client`: until then it has no inode.
fn is_accepted(server: u16, client: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
        fields[1].ends_with(&format!(":{server:04X}"))
            && fields[2].ends_with(&format!(":{client:04X}"))
            && fields[9] != "0"
    })
}

pub(crate) async fn a_handshake_under_way_is_finished_and_served(_: &Services) {
    let mut edge = Edge::start().await;
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let stream = TcpStream::connect(("127.0.0.1", edge.gateway.https_port)).await.unwrap();
    let port = stream.local_addr().unwrap().port();
    eventually("the connection to be accepted", PATIENCE, async || {
        is_accepted(edge.gateway.https_port, port).then_some(())
    })
    .await;
    // Nobody else is connected: a stop that did not know of it would be over at once.
    edge.stop().await;
    edge.allowed.add_permits(1);
    let mut stream = todo_tests::raw::shake_hands(config, stream, "localhost").await.unwrap();
    stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut stream, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(edge.gateway.process.wait(PATIENCE).await.success());
}

pub(crate) async fn every_http2_request_has_its_line(_: &Services) {
    const STREAMS: usize = 60;
    let mut edge = Edge::start().await;
    let (mut stays, mut leaves) = (speak_h2(edge.connect("h2").await).await, {
        let (sender, connection) = h2::client::handshake(edge.connect("h2").await).await.unwrap();
        (sender, tokio::spawn(connection))
    });
    let answered: Vec<_> = (0..STREAMS).map(|_| ask(&mut stays)).collect();
    let unanswered: Vec<_> = (0..STREAMS).map(|_| ask(&mut leaves.0)).collect();
    edge.asked(2 * STREAMS).await;
    edge.stop().await;
    // One client goes with all it has asked for, the other one waits for its answers.
    leaves.1.abort();
    drop((leaves.0, unanswered));
    edge.allowed.add_permits(2 * STREAMS);
    for answer in answered {
        assert_eq!(answer.await, (200, Bytes::from("finished")));
    }
    drop(stays);
    assert!(edge.gateway.process.wait(PATIENCE).await.success());
    let log = edge.gateway.access_log();
    let statuses = log.iter().filter(|line| line["kind"] == "request").map(|line| line["status"].as_u64());
    let (whole, others): (Vec<_>, Vec<_>) = statuses.partition(|status| *status == Some(200));
    assert_eq!(whole.len() + others.len(), 2 * STREAMS, "{whole:?} {others:?}");
    assert!(whole.len() >= STREAMS, "{whole:?} {others:?}");
}

/// Completes when `/readyz` says yes, as soon as anybody can know: no pause in between.
async fn is_ready(admin: u16) {
    let ask = async || {
        let mut stream = TcpStream::connect(("127.0.0.1", admin)).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
        let answer = read_answer(&mut stream, false).await.ok()?;
        (answer.status == 200).then_some(())
    };
    timeout(PATIENCE, async { while ask().await.is_none() {} }).await.unwrap();
}

pub(crate) async fn whoever_is_ready_takes_signals(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Gateway::start(folder.path(), &[ports::free().unwrap()], "").await.unwrap();
    assert!(first.process.stop(Signal::Terminate).await.success());
    let socket = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    for round in 0..40 {
        let mut command = tier("todo-gateway").unwrap();
        command.args(["run", "--config"]).arg(&first.config);
        let has_manager = round % 4 < 2;
        if has_manager {
            command.env("NOTIFY_SOCKET", &socket);
        }
        let mut process = Process::start(&format!("gateway-{round}"), folder.path(), &mut command).unwrap();
        if has_manager {
            timeout(PATIENCE, manager.recv(&mut [0; 64])).await.unwrap().unwrap();
        } else {
            is_ready(first.admin_port).await;
        }
        if round % 2 == 0 {
            process.signal(Signal::HangUp);
            eventually("the reload", PATIENCE, async || {
                assert_eq!(process.ended(), None, "in round {round}");
                process.errors().contains("the configuration was reloaded").then_some(())
            })
            .await;
        }
        process.signal(Signal::Terminate);
        assert_eq!(process.wait(PATIENCE).await.code(), Some(0), "in round {round}: {}", process.errors());
    }
}
