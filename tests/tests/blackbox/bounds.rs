//! Bounds on every client: who is slow, greedy or hostile is cut on time and told why, and the others notice nothing.
//!
//! One long file, because it is one question asked of every way to be a burden, with the same few helpers.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use todo_tests::{
    client::Client,
    h2_frames::{Frame, Http2, Outcome, code, field_block, flag, integer, kind, request},
    origin::{Origin, ok},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::client::TlsStream;

use crate::{config::PATIENCE, service::Services};

/// Deadlines that a test can wait for, and one connection more than its slow clients need.
const SHORT: &str = "[connections]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nwrite_timeout = \"300ms\"\n\
                     idle_timeout = \"2s\"\nmax = 8\n";

/// More than the buffers of both ends of a connection hold.
const LARGE: usize = 32 << 20;

/// A gateway before an origin whose answers are as large as the path says.
struct Edge {
    gateway: Gateway,
    _origin: Origin,
    _folder: TempDir,
}

async fn edge(extra: &str) -> Edge {
    let large = ok(&"a".repeat(LARGE));
    let origin = Origin::start(move |asked| {
        let answer = if asked.target().ends_with("large") { large.clone() } else { ok("hello") };
        std::future::ready(answer)
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
    Edge { gateway, _origin: origin, _folder: folder }
}

impl Edge {
    async fn http1(&self) -> TlsStream<TcpStream> {
        let config = tls_config(&self.gateway.ca(), &["http/1.1"]).unwrap();
        connect_tls(Arc::new(config), self.gateway.https_port, "localhost").await.unwrap()
    }

    async fn http2(&self) -> Http2 {
        Http2::connect(&self.gateway.ca(), self.gateway.https_port).await.unwrap()
    }

    /// How much memory the gateway has, in octets.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// The sum of a metric's lines that hold this text.
pub(crate) async fn metric(gateway: &Gateway, name: &str, label: &str) -> u64 {
    let text = gateway.admin().unwrap().get("/metrics").await.expect(200).text;
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Waits until a connection, or a request in its middle, was closed for this reason.
pub(crate) async fn closed(gateway: &Gateway, reason: &str) {
    let label = format!("reason=\"{reason}\"");
    eventually(&format!("a connection to be closed for {reason}"), PATIENCE, async || {
        (metric(gateway, "gateway_connections_closed_total", &label).await >= 1).then_some(())
    })
    .await;
}

/// Waits until no connection is open.
async fn all_slots_are_free(gateway: &Gateway) {
    eventually("every slot to be free", PATIENCE, async || {
        (metric(gateway, "gateway_connections_open", "").await == 0).then_some(())
    })
    .await;
}

/// An ordinary client that asks again and again, until it is told to stop; all of its answers have to be right.
struct Ordinary {
    task: JoinHandle<u32>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Ordinary {
    fn begin(edge: &Edge) -> Self {
        let client = edge.gateway.client().unwrap();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut answers = 0;
            while stopped.try_recv().is_err() {
                assert_eq!(client.get("/v1/x").await.expect(200).text, "hello");
                answers += 1;
            }
            answers
        });
        Self { task, stop }
    }

    async fn end(self) {
        let _ = self.stop.send(());
        assert!(self.task.await.unwrap() > 0, "the ordinary client was served meanwhile");
    }
}

pub(crate) async fn slow_clients_over_http1_are_cut_and_others_go_on(_: &Services) {
    let edge = edge(SHORT).await;
    let ordinary = Ordinary::begin(&edge);
    let slow = async |octets: &'static str| {
        let mut stream = edge.http1().await;
        stream.write_all(octets.as_bytes()).await.unwrap();
        stream
    };
    let mut head = slow("GET /v1/x HTTP/1.1\r\nHo").await;
    let mut body = slow("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    let chunk = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe";
    let mut chunk = slow(chunk).await;
    let reader = slow("GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    for (name, stream) in [("head", &mut head), ("body", &mut body), ("chunk", &mut chunk)] {
        let answer = read_answer(stream, false).await.unwrap();
        assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request_timeout")), "{name}");
        assert_eq!(answer.field("connection"), Some("close"), "{name}");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed");
        assert!(rest.is_empty(), "{name}");
    }
    closed(&edge.gateway, "write_timeout").await;
    ordinary.end().await;
    drop((head, body, chunk));
    // The slow reader still has its end open: its slot is free all the same.
    all_slots_are_free(&edge.gateway).await;
    drop(reader);
    for reason in ["request_timeout", "write_timeout"] {
        eventually(reason, PATIENCE, async || {
            edge.gateway.access_log().iter().any(|line| line["reason"] == reason).then_some(())
        })
        .await;
    }
}

pub(crate) async fn slow_clients_over_http2_are_cut_and_others_go_on(_: &Services) {
    const INITIAL_WINDOW: u16 = 4;
    let route = "[[routes]]\nname = \"api\"\npaths = [\"/v1/*\"]\nmethods = [\"GET\", \"POST\"]\nupstream = \"api\"\n\
                 timeout = \"1s\"\nmax_body = \"256KiB\"\n";
    let edge = edge(&format!("{SHORT}{route}")).await;
    let ordinary = Ordinary::begin(&edge);
    let (ca, port) = (edge.gateway.ca(), edge.gateway.https_port);

    // No preface, and half of one.
    let mut silent = Http2::silent(&ca, port).await.unwrap();
    let mut begun = Http2::silent(&ca, port).await.unwrap();
    begun.write(b"PRI * HTTP").await.unwrap();
    assert!(silent.outcome(0).await.unwrap().is_over && begun.outcome(0).await.unwrap().is_over);
    closed(&edge.gateway, "head_timeout").await;

    // Half a field block: no request begins, so the connection is idle.
    let mut half = edge.http2().await;
    half.send(&Frame::new(kind::HEADERS, 0, 1, field_block(&request("GET", "/v1/x")))).await.unwrap();
    assert!(half.outcome(0).await.unwrap().is_over);
    closed(&edge.gateway, "idle_timeout").await;

    // A body that stops, and one that trickles.
    let mut body = edge.http2().await;
    body.send(&Frame::headers(1, &request("POST", "/v1/x"), false)).await.unwrap();
    body.send(&Frame::data(1, b"half", false)).await.unwrap();
    assert!(body.outcome(1).await.unwrap().reset.is_some());
    body.send(&Frame::headers(3, &request("POST", "/v1/x"), false)).await.unwrap();
    let mut pieces = tokio::time::interval(Duration::from_millis(50));
    let trickled = loop {
        tokio::select! {
            outcome = body.outcome(3) => break outcome.unwrap(),
            _ = pieces.tick() => {}
        }
        body.send(&Frame::data(3, b"a", false)).await.unwrap();
    };
    assert_eq!(trickled.status, 408);

    // A reader whose windows are shut: its stream is cut and the connection is of use for others.
    let mut window = Http2::connect_with(&ca, port, &[(INITIAL_WINDOW, 0)]).await.unwrap();
    window.send(&Frame::get(1, "/v1/x")).await.unwrap();
    let outcome = window.outcome(1).await.unwrap();
    assert!(outcome.status == 200 && outcome.body.is_empty() && outcome.reset.is_some(), "{outcome:?}");
    closed(&edge.gateway, "write_timeout").await;
    window.send(&Frame::get(3, "/v1/x")).await.unwrap();
    window.send(&Frame::window_update(3, 1000)).await.unwrap();
    assert_eq!(window.outcome(3).await.unwrap().body, b"hello");

    // One whose windows are wide and who reads nothing: what waits is in the system's buffers, then in ours.
    let mut reader = Http2::connect_with(&ca, port, &[(INITIAL_WINDOW, 1 << 30)]).await.unwrap();
    reader.send(&Frame::window_update(0, 1 << 30)).await.unwrap();
    let before = metric(&edge.gateway, "gateway_connections_closed_total", "write_timeout").await;
    reader.send(&Frame::get(1, "/v1/large")).await.unwrap();
    eventually("the unread connection to be cut", PATIENCE, async || {
        (metric(&edge.gateway, "gateway_connections_closed_total", "write_timeout").await > before).then_some(())
    })
    .await;
    eventually("the log to say that the whole connection was cut", PATIENCE, async || {
        let log = edge.gateway.access_log();
        log.iter().any(|line| line["kind"] == "connection" && line["reason"] == "write_timeout").then_some(())
    })
    .await;
    ordinary.end().await;
    drop((silent, begun, half, body, window));
    all_slots_are_free(&edge.gateway).await;
}

pub(crate) async fn a_connection_grows_old_without_losing_a_request(_: &Services) {
    let edge = edge("[connections]\nmax_age = \"500ms\"\n").await;
    let start = Instant::now();
    let mut stream = edge.http1().await;
    let mut answers = 0;
    loop {
        stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut stream, false).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
        answers += 1;
        if answer.field("connection") == Some("close") {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "no answer was the last one");
    }
    assert!(answers > 1 || start.elapsed() > Duration::from_millis(500), "it was not closed before its time");
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
    closed(&edge.gateway, "age_limit").await;

    // Over HTTP/2 a client library that honours GOAWAY notices nothing.
    let client = edge.gateway.client().unwrap();
    let connections = async || metric(&edge.gateway, "gateway_connections_total", "https").await;
    client.get("/v1/x").await.expect(200);
    let (before, start) = (connections().await, Instant::now());
    while connections().await < before + 3 {
        assert_eq!(client.get("/v1/x").await.expect(200).version, "HTTP/2.0");
        assert!(start.elapsed() < PATIENCE, "no connection grew old");
    }
}

/// Sends these frames over and over on one connection; what the gateway says to it.
async fn flood(edge: &Edge, frames: &[Frame]) -> Outcome {
    let mut http2 = edge.http2().await;
    let octets: Vec<u8> = frames.iter().flat_map(Frame::octets).collect();
    let octets = octets.repeat(1 + 4096 / octets.len());
    for _ in 0..500 {
        if http2.write(&octets).await.is_err() {
            break;
        }
    }
    http2.outcome(0).await.unwrap()
}

pub(crate) async fn floods_of_http2_end_their_connection(_: &Services) {
    let edge = edge("").await;
    let ordinary = Ordinary::begin(&edge);
    let open = Frame::headers(1, &request("POST", "/v1/x"), false);
    let floods: [(&str, Option<&Frame>, Frame); 8] = [
        ("SETTINGS", None, Frame::settings(&[])),
        ("PING", None, Frame::ping()),
        ("PRIORITY", None, Frame::priority(1, 0)),
        ("WINDOW_UPDATE", None, Frame::window_update(0, 1)),
        ("WINDOW_UPDATE of a stream", Some(&open), Frame::window_update(1, 1)),
        ("empty DATA", Some(&open), Frame::data(1, b"", false)),
        ("tiny DATA", Some(&open), Frame::data(1, b"a", false)),
        ("unknown type", None, Frame::new(200, 0, 0, [0; 8])),
    ];
    for (index, (name, first, frame)) in floods.into_iter().enumerate() {
        let mut http2 = edge.http2().await;
        if let Some(first) = first {
            http2.send(first).await.unwrap();
        }
        let octets = frame.octets().repeat(200);
        for _ in 0..100 {
            if http2.write(&octets).await.is_err() {
                break;
            }
        }
        let outcome = http2.outcome(0).await.unwrap();
        assert_eq!(outcome.goaway, Some(code::ENHANCE_YOUR_CALM), "{name}");
        let count = u64::try_from(index + 1).unwrap();
        eventually(name, PATIENCE, async || {
            let closed = metric(&edge.gateway, "gateway_connections_closed_total", "h2_abuse").await;
            (closed >= count).then_some(())
        })
        .await;
    }
    // Streams that are opened and reset at once, as fast as they can be written (CVE-2023-44487).
    let mut pairs = Vec::new();
    for stream in (1..2001).step_by(2) {
        pairs.extend([Frame::get(stream, "/v1/x"), Frame::reset(stream, code::CANCEL)]);
    }
    assert_eq!(flood(&edge, &pairs).await.goaway, Some(code::ENHANCE_YOUR_CALM), "rapid reset");
    ordinary.end().await;
    all_slots_are_free(&edge.gateway).await;
    eventually("a line for each", PATIENCE, async || {
        let log = edge.gateway.access_log();
        let told = log.iter().filter(|line| line["reason"] == "h2_abuse" && line["kind"] == "connection").count();
        (told >= 9).then_some(())
    })
    .await;
}

pub(crate) async fn an_hpack_bomb_and_endless_continuations_take_no_memory(_: &Services) {
    let edge = edge("").await;
    let ordinary = Ordinary::begin(&edge);
    let before = edge.resident();
    // A field of almost 4 KiB goes into the dynamic table, and one octet each repeats it 16,000 times: 64 MiB.
    let mut block = field_block(&request("GET", "/v1/x"));
    block.push(0x40);
    for text in ["x-bomb", &"b".repeat(4000)] {
        integer(&mut block, 0, 7, text.len());
        block.extend(text.as_bytes());
    }
    let mut bombs = Vec::new();
    for _ in 0..8 {
        let mut http2 = edge.http2().await;
        let mut bomb = block.clone();
        bomb.extend([0xbe; 12_000]);
        http2.send(&Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, bomb)).await.unwrap();
        bombs.push(http2);
    }
    for http2 in &mut bombs {
        assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM), "the bomb");
    }
    // A field block without an end (CVE-2024-27316).
    let mut http2 = edge.http2().await;
    http2.send(&Frame::new(kind::HEADERS, 0, 1, field_block(&request("GET", "/v1/x")))).await.unwrap();
    let piece = Frame::new(kind::CONTINUATION, 0, 1, field_block(&[("x-more", &"c".repeat(200))])).octets().repeat(20);
    for _ in 0..500 {
        if http2.write(&piece).await.is_err() {
            break;
        }
    }
    assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM), "continuations");
    closed(&edge.gateway, "h2_abuse").await;
    ordinary.end().await;
    let grown = edge.resident().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} octets more than before");
    // A block that is merely too large is refused by itself, and the connection goes on.
    let mut http2 = edge.http2().await;
    let large = "d".repeat(10_000);
    let fields: Vec<_> = request("GET", "/v1/x")
        .into_iter()
        .chain(["x-a", "x-b", "x-c", "x-d"].map(|name| (name, large.as_str())))
        .collect();
    let block = field_block(&fields);
    let (first, rest) = block.split_at(16_000);
    http2.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, first)).await.unwrap();
    let (second, third) = rest.split_at(16_000);
    http2.send(&Frame::new(kind::CONTINUATION, 0, 1, second)).await.unwrap();
    http2.send(&Frame::new(kind::CONTINUATION, flag::END_HEADERS, 1, third)).await.unwrap();
    assert_eq!(http2.outcome(1).await.unwrap().status, 431);
    http2.send(&Frame::get(3, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(3).await.unwrap().status, 200);
}

pub(crate) async fn resets_at_leisure_end_their_connection(_: &Services) {
    let edge = edge("[connections]\nmax_resets = 20\n").await;
    // Each stream is known to be served before it is reset, which the library does not count.
    let mut http2 = edge.http2().await;
    let mut streams = 0;
    for stream in (1..200).step_by(2) {
        if http2.send(&Frame::get(stream, "/v1/large")).await.is_err() {
            break;
        }
        let Some(_) = http2.read_until(kind::HEADERS).await.unwrap() else { break };
        streams += 1;
        let _ = http2.send(&Frame::reset(stream, code::CANCEL)).await;
    }
    assert_eq!(streams, 21);
    closed(&edge.gateway, "h2_abuse").await;
    // Streams that the gateway has to reset count alike (CVE-2025-8671): each of these is a mistake of the client's.
    let mut http2 = edge.http2().await;
    for stream in (1..200).step_by(2) {
        let octets =
            [Frame::get(stream, "/v1/large").octets(), Frame::window_update(stream, (1 << 31) - 1).octets()].concat();
        if http2.write(&octets).await.is_err() {
            break;
        }
    }
    assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM));
    all_slots_are_free(&edge.gateway).await;
}

pub(crate) async fn streams_beyond_the_limit_are_refused_and_then_cut(_: &Services) {
    let never = Origin::start(async |_| std::future::pending::<String>().await).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let extra = "[connections]\nmax_streams = 5\nmax_resets = 30\n";
    let gateway = Gateway::start(folder.path(), &[never.port], extra).await.unwrap();
    let mut http2 = Http2::connect(&gateway.ca(), gateway.https_port).await.unwrap();
    for stream in (1..10).step_by(2) {
        http2.send(&Frame::get(stream, "/v1/x")).await.unwrap();
    }
    eventually("five requests", PATIENCE, async || (never.requests().len() == 5).then_some(())).await;
    for stream in (11..400).step_by(2) {
        if http2.send(&Frame::get(stream, "/v1/x")).await.is_err() {
            break;
        }
    }
    assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM));
    closed(&gateway, "streams_exceeded").await;
    assert!(metric(&gateway, "gateway_http2_streams_refused_total", "").await >= 30);
    assert_eq!(never.requests().len(), 5, "what was refused never reached the API");
}

pub(crate) async fn broken_http2_is_told_what_is_wrong(_: &Services) {
    let edge = edge("").await;
    // The library says of a PING of the wrong length that the protocol is broken, where RFC 9113 section 6.7 has a code of
    // its own; the connection ends as it must.
    let broken: [(&str, u32, Frame); 6] = [
        ("DATA on the connection", code::PROTOCOL_ERROR, Frame::data(0, b"a", false)),
        ("an even stream", code::PROTOCOL_ERROR, Frame::get(2, "/v1/x")),
        ("a CONTINUATION of nothing", code::PROTOCOL_ERROR, Frame::new(kind::CONTINUATION, 4, 1, [0x82])),
        ("half a PING", code::PROTOCOL_ERROR, Frame::new(kind::PING, 0, 0, [0; 4])),
        ("a frame of 20 KiB", code::FRAME_SIZE_ERROR, Frame::new(kind::DATA, 0, 1, vec![0; 20_000])),
        ("a window beyond 31 bits", code::FLOW_CONTROL_ERROR, Frame::window_update(0, (1 << 31) - 1)),
    ];
    for (name, expected, frame) in broken {
        let mut http2 = edge.http2().await;
        let _ = http2.send(&frame).await;
        assert_eq!(http2.end().await.unwrap(), Some(expected), "{name}");
    }
    closed(&edge.gateway, "h2_abuse").await;
    all_slots_are_free(&edge.gateway).await;
}

pub(crate) async fn an_eager_client_is_never_taken_for_a_flood(_: &Services) {
    const INITIAL_WINDOW: u16 = 4;
    let edge = edge("[connections]\nmax_control_frames = 50\n").await;
    let (ca, port) = (edge.gateway.ca(), edge.gateway.https_port);
    let mut http2 = Http2::connect_with(&ca, port, &[(INITIAL_WINDOW, 4096)]).await.unwrap();
    // Both windows are opened for each piece of the answer, however small, and each request brings a priority.
    for stream in (1..40).step_by(2) {
        http2.send(&Frame::priority(stream, 0)).await.unwrap();
        http2.send(&Frame::get(stream, if stream == 1 { "/v1/large" } else { "/v1/x" })).await.unwrap();
        let mut received = 0;
        loop {
            let frame = http2.read().await.unwrap().expect("the connection goes on");
            if frame.kind == kind::DATA && !frame.payload.is_empty() {
                received += frame.payload.len();
                let increment = u32::try_from(frame.payload.len()).unwrap();
                let updates =
                    [Frame::window_update(0, increment).octets(), Frame::window_update(stream, increment).octets()];
                http2.write(&updates.concat()).await.unwrap();
            }
            if frame.stream == stream && frame.ends_stream() || received > 2 << 20 {
                break;
            }
        }
        if received > 2 << 20 {
            http2.send(&Frame::reset(stream, code::CANCEL)).await.unwrap();
        }
    }
}

/// Sets a bound so low that the gateway is over it, and back again.
pub(crate) async fn an_overloaded_gateway_refuses_and_comes_back(
    gateway: &Gateway,
    key: &str,
    tiny: &str,
    resource: &str,
) {
    let label = format!("resource=\"{resource}\"");
    let state = async |wanted: u64| {
        eventually("the overload to be noticed", PATIENCE, async || {
            (metric(gateway, "gateway_overloaded", &label).await == wanted).then_some(())
        })
        .await;
    };
    let kept = gateway.client().unwrap();
    kept.get("/v1/x").await.expect(200);
    gateway.reconfigure(&format!("[overload]\n{key} = \"{tiny}\"\n")).unwrap();
    state(1).await;
    // Who is here is told when to come back; who comes is not let in; operators are.
    let refused = kept.get("/v1/x").await;
    refused.expect_problem(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
    gateway.client().unwrap().send("GET", "/v1/x", &[], None).await.expect_err("closed");
    let admin = gateway.admin().unwrap();
    for path in ["/livez", "/readyz", "/metrics"] {
        admin.get(path).await.expect(200);
    }
    assert!(metric(gateway, "gateway_connections_refused_total", "overload").await >= 1);
    assert!(metric(gateway, "gateway_refusals_total", "overloaded").await >= 1);
    gateway.reconfigure(&format!("[overload]\n{key} = \"100%\"\n")).unwrap();
    state(0).await;
    Client::https(gateway.https_port, &gateway.ca()).unwrap().get("/v1/x").await.expect(200);
}
