//! Long answers: each piece reaches the client when it comes, a slow client slows the origin, and each end sees the other
//! one leave.

use std::{
    fs,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Response;
use todo_tests::{
    raw::{PATIENCE, read_answer},
    stack::Gateway,
    stage::Stage,
    wait::eventually,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::service::Services;

/// The head of an endless answer. The connection is for it alone, since the case keeps it.
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A route that streams, and one whose answers are cut after a moment.
const ROUTES: &str = r#"
    [[routes]]
    name = "events"
    paths = ["/v1/events"]
    methods = ["GET"]
    upstream = "api"
    timeout = "500ms"
    stream_idle_timeout = "20s"
    max_body = "0B"
    [[routes]]
    name = "rest"
    paths = ["/*"]
    methods = ["GET"]
    upstream = "api"
    timeout = "500ms"
    max_body = "0B"
"#;

/// A gateway in front of a stage.
struct Edge {
    gateway: Gateway,
    stage: Stage,
    _folder: tempfile::TempDir,
}

async fn edge(extra: &str) -> Edge {
    let stage = Stage::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[stage.port], extra).await.unwrap();
    Edge { gateway, stage, _folder: folder }
}

/// A client in the middle of an answer.
enum Reader {
    Http1(Box<TlsStream<TcpStream>>),
    Http2(Response),
}

impl Edge {
    /// Asks over HTTP/1 or HTTP/2 and plays the origin until the head of the answer is there.
    async fn begin(&mut self, over_h2: bool, path: &str, fields: &[(&str, &str)], head: &str) -> (Reader, TcpStream) {
        if over_h2 {
            let client = self.gateway.client().unwrap();
            let played = async {
                let mut origin = self.stage.request().await;
                origin.write_all(head.as_bytes()).await.unwrap();
                origin
            };
            let (answer, origin) = tokio::join!(client.open("GET", path, fields, None), played);
            let answer = answer.unwrap();
            assert_eq!(answer.version(), reqwest::Version::HTTP_2);
            return (Reader::Http2(answer), origin);
        }
        let mut stream = self.gateway.connect().await.unwrap();
        let fields = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes()).await.unwrap();
        let mut origin = self.stage.request().await;
        origin.write_all(head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        (Reader::Http1(Box::new(stream)), origin)
    }
}

impl Reader {
    /// The next octets of the body; none at its end or when it breaks off.
    async fn next(&mut self) -> Vec<u8> {
        match self {
            Self::Http2(answer) => {
                let piece = timeout(PATIENCE, answer.chunk()).await.expect("a piece in time");
                piece.ok().flatten().unwrap_or_default().to_vec()
            }
            Self::Http1(stream) => {
                let mut size = String::new();
                while !size.ends_with("\r\n") {
                    match timeout(PATIENCE, stream.read_u8()).await.expect("a piece in time") {
                        Ok(octet) => size.push(char::from(octet)),
                        Err(_) => return Vec::new(),
                    }
                }
                let mut chunk = vec![0; usize::from_str_radix(size.trim_end(), 16).unwrap() + 2];
                stream.read_exact(&mut chunk).await.unwrap();
                chunk.truncate(chunk.len() - 2);
                chunk
            }
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Fails unless the gateway closes this connection.
async fn closes(mut origin: TcpStream) {
    let mut sink = [0; 64];
    let end = async { while origin.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
    timeout(PATIENCE, end).await.expect("the origin learns of it");
}

pub(crate) async fn events_come_one_by_one_for_as_long_as_they_please(_: &Services) {
    let mut edge = edge(ROUTES).await;
    for over_h2 in [false, true] {
        let fields = [("accept-encoding", "gzip"), ("accept", "text/event-stream")];
        let (mut reader, mut origin) = edge.begin(over_h2, "/v1/events", &fields, EVENTS).await;
        let begun = Instant::now();
        let mut number = 0;
        // Each is read before the next is written, until three times the time of the route is over.
        while begun.elapsed() < Duration::from_millis(1500) {
            number += 1;
            let event = format!("id: {number}\ndata: x\n\n");
            origin.write_all(chunk(&event).as_bytes()).await.unwrap();
            assert_eq!(String::from_utf8(reader.next().await).unwrap(), event);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        origin.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(reader.next().await, b"");
        // An answer of another route ends when its time is over.
        let (mut reader, mut origin) = edge.begin(over_h2, "/v1/other", &[], EVENTS).await;
        eventually("the answer to be cut", PATIENCE, async || {
            // It may be cut already.
            let _ = origin.write_all(chunk("data: x\n\n").as_bytes()).await;
            reader.next().await.is_empty().then_some(())
        })
        .await;
        closes(origin).await;
    }
    let line = eventually("the cut answer in the log", PATIENCE, async || {
        edge.gateway.access_log().into_iter().find(|line| line["path"] == "/v1/other")
    })
    .await;
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"upstream_timeout".into()));
}

pub(crate) async fn a_silent_stream_is_cut(_: &Services) {
    let mut edge = edge(&ROUTES.replace("\"20s\"", "\"600ms\"")).await;
    let (mut reader, mut origin) = edge.begin(false, "/v1/events", &[], EVENTS).await;
    origin.write_all(chunk("data: x\n\n").as_bytes()).await.unwrap();
    assert_eq!(reader.next().await, b"data: x\n\n");
    assert_eq!(reader.next().await, b"", "silence ends it");
    closes(origin).await;
}

pub(crate) async fn compressed_pieces_are_not_held_back(_: &Services) {
    let mut edge = edge("").await;
    let head = EVENTS.replace("text/event-stream", "application/json");
    for (over_h2, coding) in [(false, "gzip"), (true, "zstd"), (false, "br")] {
        let (mut reader, mut origin) = edge.begin(over_h2, "/v1/x", &[("accept-encoding", coding)], &head).await;
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for number in 0..5 {
            let line = format!("{{\"number\":{number}}}\n");
            origin.write_all(chunk(&line).as_bytes()).await.unwrap();
            sent.extend_from_slice(line.as_bytes());
            while beginning(coding, &received, sent.len()).is_none_or(|plain| plain != sent) {
                let piece = reader.next().await;
                assert!(!piece.is_empty(), "{coding}: ended after {} octets", received.len());
                received.extend(piece);
            }
        }
    }
}

/// The first octets of what is compressed, if they have come.
fn beginning(coding: &str, octets: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plain = vec![0; length];
    match coding {
        "gzip" => flate2::read::GzDecoder::new(octets).read_exact(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(octets).unwrap().read_exact(&mut plain),
        _ => brotli::Decompressor::new(octets, 4096).read_exact(&mut plain),
    }
    .ok()?;
    Some(plain)
}

/// The memory of the gateway's process, in octets.
fn memory(gateway: &Gateway) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

pub(crate) async fn a_slow_reader_slows_the_origin(_: &Services) {
    // More than the kernel's buffers of three sockets take, and far less than the origin would write.
    const MOST: usize = 48 << 20;
    let mut edge = edge("").await;
    for (over_h2, coding) in [(false, "identity"), (true, "identity"), (false, "gzip"), (true, "zstd")] {
        let head = EVENTS.replace("text/event-stream", "text/plain");
        let (mut reader, origin) = edge.begin(over_h2, "/v1/x", &[("accept-encoding", coding)], &head).await;
        let before = memory(&edge.gateway);
        let written = Arc::new(AtomicUsize::new(0));
        let endless = tokio::spawn(write_without_end(origin, written.clone()));
        let mut last = (0, Instant::now());
        let stopped = eventually("the origin to stand still", PATIENCE, async || {
            let now = written.load(Ordering::Acquire);
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() > Duration::from_secs(1)).then_some(now)
        })
        .await;
        let grown = memory(&edge.gateway).saturating_sub(before);
        let what = format!("over HTTP/2: {over_h2}, {coding}: {stopped} octets taken, {grown} octets more memory");
        assert!(stopped < MOST && grown < 16 << 20, "{what}");
        // It goes on as soon as the client does.
        eventually("the origin to go on", PATIENCE, async || {
            for _ in 0..50 {
                assert!(!reader.next().await.is_empty());
            }
            (written.load(Ordering::Acquire) > stopped + (1 << 20)).then_some(())
        })
        .await;
        drop(reader);
        timeout(PATIENCE, endless).await.expect("the origin sees the client leave").unwrap();
    }
}

/// Writes chunks that do not shrink, and counts, until the other end is gone.
async fn write_without_end(mut origin: TcpStream, written: Arc<AtomicUsize>) {
    let mut state = 1_u64;
    loop {
        let mut octets = b"4000\r\n".to_vec();
        octets.extend((0..0x4000).map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        }));
        octets.extend_from_slice(b"\r\n");
        if origin.write_all(&octets).await.is_err() {
            return;
        }
        written.fetch_add(0x4000, Ordering::AcqRel);
    }
}

pub(crate) async fn the_origin_sees_a_client_leave(_: &Services) {
    let mut edge = edge(ROUTES).await;
    for over_h2 in [false, true] {
        let (mut reader, mut origin) = edge.begin(over_h2, "/v1/events", &[], EVENTS).await;
        origin.write_all(chunk("data: x\n\n").as_bytes()).await.unwrap();
        assert_eq!(reader.next().await, b"data: x\n\n");
        drop(reader);
        closes(origin).await;
    }
}

pub(crate) async fn an_old_connection_is_cut_whatever_it_carries(_: &Services) {
    const AGE: Duration = Duration::from_millis(600);
    let young = "[server]\ndrain_timeout = \"900ms\"\n[connections]\nmax_age = \"600ms\"\n";
    let mut edge = edge(&format!("{young}{ROUTES}")).await;
    for (over_h2, path) in [(false, "/v1/events?1"), (true, "/v1/events?2")] {
        let begun = Instant::now();
        let (mut reader, mut origin) = edge.begin(over_h2, path, &[], EVENTS).await;
        let mut pieces = 0;
        loop {
            let _ = origin.write_all(chunk("data: x\n\n").as_bytes()).await;
            if reader.next().await.is_empty() {
                break;
            }
            pieces += 1;
            assert!(begun.elapsed() < Duration::from_secs(20), "the route has no end of its own before that");
        }
        assert!(pieces > 0 && begun.elapsed() > AGE, "it had its time: {pieces} {:?}", begun.elapsed());
        closes(origin).await;
    }
    // One that is silent, and a request that came to a connection that had grown old: it has the grace for itself.
    let mut waiting = edge.gateway.connect().await.unwrap();
    let (mut reader, origin) = edge.begin(false, "/v1/events?3", &[], EVENTS).await;
    assert_eq!(reader.next().await, b"", "silence is cut as well");
    closes(origin).await;
    waiting.write_all(b"GET /v1/events?4 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut origin = edge.stage.request().await;
    origin.write_all(format!("{EVENTS}{}0\r\n\r\n", chunk("late")).as_bytes()).await.unwrap();
    let answer = read_answer(&mut waiting, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));

    let lines = eventually("four lines", PATIENCE, async || {
        let log = edge.gateway.access_log();
        let lines: Vec<_> = log.into_iter().filter(|line| line["kind"] == "request").collect();
        (lines.len() == 4).then_some(lines)
    })
    .await;
    let told: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["reason"].as_str())).collect();
    let cut = (Some(200), Some("age_limit"));
    assert_eq!(told, [cut, cut, cut, (Some(200), None)]);
    // Each connection once.
    eventually("four connections to be counted", PATIENCE, async || {
        let metrics = edge.gateway.admin().unwrap().get("/metrics").await.expect(200).text;
        let counted = "gateway_connections_closed_total{reason=\"age_limit\"} 4";
        metrics.lines().any(|line| line == counted).then_some(())
    })
    .await;
}
