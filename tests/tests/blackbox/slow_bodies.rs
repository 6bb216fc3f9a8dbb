//! Bodies that stop, and what becomes of those who send them: each is cut on time, is told so where that is possible, and
//! takes nobody with it.

use std::time::Duration;

use serde_json::json;
use todo_tests::{
    h2_frames::{Frame, Http2, kind, request},
    origin::{Origin, ok},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{bounds::metric, config::PATIENCE, service::Services};

/// The route leaves so much time that nothing but the body's own deadline can be what cuts it.
const SHORT: &str = "[connections]\nbody_timeout = \"500ms\"\n[[routes]]\nname = \"api\"\npaths = [\"/v1/*\"]\n\
                     methods = [\"GET\", \"POST\"]\nupstream = \"api\"\ntimeout = \"5m\"\nmax_body = \"1MiB\"\n";

async fn edge() -> (Gateway, Origin, tempfile::TempDir) {
    let origin = Origin::start(async |_| ok("hello")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], SHORT).await.unwrap();
    (gateway, origin, folder)
}

async fn refused_for_time(gateway: &Gateway) -> u64 {
    metric(gateway, "gateway_refusals_total", "request_timeout").await
}

pub(crate) async fn a_body_that_stops_over_http2_is_cut_alone(_: &Services) {
    let (gateway, _origin, _folder) = edge().await;
    let mut http2 = Http2::connect(&gateway.ca(), gateway.https_port).await.unwrap();
    // One that says nothing, one that says a little, and one that had an answer's worth of time to say more.
    for (stream, begun) in [(1, ""), (3, "half")] {
        http2.send(&Frame::headers(stream, &request("POST", "/v1/stops?token=secret"), false)).await.unwrap();
        http2.send(&Frame::data(stream, begun.as_bytes(), false)).await.unwrap();
    }
    // Meanwhile the connection is of use, one request after the other.
    let (mut cut, mut served, mut next) = (Vec::new(), 0, 5);
    http2.send(&Frame::get(next, "/v1/x")).await.unwrap();
    while cut.len() < 2 {
        let frame = http2.read().await.unwrap().expect("the connection goes on");
        if frame.kind == kind::RST_STREAM {
            cut.push(frame.stream);
        }
        if frame.stream == next && frame.ends_stream() {
            served += 1;
            next += 2;
            http2.send(&Frame::get(next, "/v1/x")).await.unwrap();
        }
    }
    cut.sort_unstable();
    assert_eq!(cut, [1, 3]);
    assert!(served > 0, "the others were served meanwhile");
    assert_eq!(http2.outcome(next).await.unwrap().body, b"hello", "and are afterwards");
    let lines = eventually("a line for each", PATIENCE, async || {
        let mut log = gateway.access_log();
        log.retain(|line| line["path"] == "/v1/stops");
        (log.len() == 2).then_some(log)
    })
    .await;
    for line in lines {
        assert_eq!(
            (&line["reason"], &line["status"], &line["method"], &line["protocol"]),
            (&json!("request_timeout"), &json!(0), &json!("POST"), &json!("h2")),
            "{line}"
        );
        assert!(!line.to_string().contains("secret"), "{line}");
    }
    assert_eq!(refused_for_time(&gateway).await, 2);
    eventually("both to be forgotten", PATIENCE, async || {
        (metric(&gateway, "gateway_requests_in_flight", "").await == 0).then_some(())
    })
    .await;
}

pub(crate) async fn half_a_frame_does_not_hold_a_stream(_: &Services) {
    let (gateway, _origin, _folder) = edge().await;
    let mut http2 = Http2::connect(&gateway.ca(), gateway.https_port).await.unwrap();
    http2.send(&Frame::headers(1, &request("POST", "/v1/x"), false)).await.unwrap();
    let data = Frame::data(1, &[b'a'; 100], true).octets();
    http2.write(&data[..50]).await.unwrap();
    assert!(http2.outcome(1).await.unwrap().reset.is_some());
    assert_eq!(refused_for_time(&gateway).await, 1);
    // The rest comes too late to matter, and is no reason to end the connection.
    http2.write(&data[50..]).await.unwrap();
    http2.send(&Frame::get(3, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(3).await.unwrap().body, b"hello");
}

pub(crate) async fn a_client_that_sends_on_still_receives_its_408(_: &Services) {
    let (gateway, _origin, _folder) = edge().await;
    let config = tls_config(&gateway.ca(), &["http/1.1"]).unwrap();
    let mut stream = connect_tls(config.into(), gateway.https_port, "localhost").await.unwrap();
    let head = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("the body to be given up", PATIENCE, async || (refused_for_time(&gateway).await == 1).then_some(()))
        .await;
    // What is sent into a closed socket comes back as a reset, which may take the answer with it.
    for _ in 0..16 {
        stream.write_all(&[b'a'; 4096]).await.unwrap();
        stream.flush().await.unwrap();
    }
    let answer = read_answer(&mut stream, false).await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request_timeout")));
    let rest = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it ends");
    assert_eq!(rest.expect("no reset"), 0);
}

pub(crate) async fn a_request_that_meets_goaway_is_served_or_may_be_sent_again(_: &Services) {
    // Longer than a client that is told to go may stay without work.
    const SLOW: Duration = Duration::from_millis(2500);
    let origin = Origin::start(async |asked| {
        if asked.target().ends_with("slow") {
            tokio::time::sleep(SLOW).await;
        }
        ok("hello")
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let idle = "[connections]\nidle_timeout = \"300ms\"\n";
    let gateway = Gateway::start(folder.path(), &[origin.port], idle).await.unwrap();
    let asked = |target: &str| origin.requests().iter().filter(|request| request.target() == target).count();
    let last_stream = |frame: Frame| u32::from_be_bytes(frame.payload[..4].try_into().unwrap());

    // On its way when GOAWAY was: the first one promises nothing yet, and the request is served, however long it takes.
    let mut http2 = Http2::connect(&gateway.ca(), gateway.https_port).await.unwrap();
    http2.send(&Frame::get(1, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(1).await.unwrap().status, 200);
    let first = http2.read_until(kind::GOAWAY).await.unwrap().expect("GOAWAY");
    assert_eq!((first.code(), last_stream(first)), (Some(0), u32::MAX >> 1));
    http2.send(&Frame::get(3, "/v1/slow")).await.unwrap();
    let outcome = http2.outcome(3).await.unwrap();
    assert_eq!((outcome.status, outcome.body.as_slice()), (200, b"hello".as_slice()), "{outcome:?}");

    // Behind the last GOAWAY, which says that it was not looked at: the client may send it again elsewhere.
    let mut http2 = Http2::connect(&gateway.ca(), gateway.https_port).await.unwrap();
    http2.send(&Frame::get(1, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(1).await.unwrap().status, 200);
    http2.read_until(kind::GOAWAY).await.unwrap().expect("GOAWAY");
    let ping = http2.read_until(kind::PING).await.unwrap().expect("a PING that asks whether it arrived");
    http2.send(&Frame::new(kind::PING, 1, 0, ping.payload)).await.unwrap();
    let last = http2.read_until(kind::GOAWAY).await.unwrap().expect("the last GOAWAY");
    let _ = http2.send(&Frame::get(3, "/v1/late")).await;
    assert_eq!((last.code(), last_stream(last)), (Some(0), 1));
    assert!(http2.outcome(3).await.unwrap().is_over);
    assert_eq!(asked("/v1/late"), 0, "it was not looked at");
}
