//! Why-codes: a refusal has the same one in its answer, in the access log and in the metric, and each that the gateway can give
//! is provoked here.

use std::{fs, path::Path, sync::Arc};

use todo_shared::problem::Code;
use todo_tests::{
    h2_frames::{Frame, Http2, code, request},
    origin::{Origin, Request, ok},
    ports,
    raw::{PATIENCE, connect_tls, exchange, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::client::TlsStream;

use crate::service::Services;

/// A gateway in front of an origin that misbehaves on request.
struct Edge {
    gateway: Gateway,
    _origin: Option<Origin>,
    _folder: tempfile::TempDir,
}

/// What a refusal was answered with.
struct Refused {
    status: u16,
    code: String,
    problem_type: String,
    request_id: String,
}

impl Edge {
    async fn start(extra: &str) -> Self {
        let origin = Origin::start(async |request: Request| match request.target() {
            "/v1/garbage" => "this is not HTTP\r\n\r\n".to_owned(),
            "/v1/large" => ok(&"x".repeat(64 << 20)),
            "/slow" => std::future::pending().await,
            _ => ok("fine"),
        })
        .await
        .unwrap();
        let edge = Self::before(origin.port, extra).await;
        Self { _origin: Some(origin), ..edge }
    }

    /// In front of whoever listens on this port.
    async fn before(port: u16, extra: &str) -> Self {
        let routes = format!(
            "[[routes]]\nname = \"api\"\npaths = [\"/v1/*\"]\nmethods = [\"GET\", \"POST\"]\nupstream = \"api\"\n\
             timeout = \"2s\"\nmax_body = \"1KiB\"\n\
             [[routes]]\nname = \"slow\"\npaths = [\"/slow\"]\nmethods = [\"GET\"]\nupstream = \"api\"\ntimeout = \"300ms\"\n\
             max_body = \"0B\"\n\
             [[routes]]\nname = \"dead\"\npaths = [\"/dead\"]\nmethods = [\"GET\"]\nupstream = \"dead\"\ntimeout = \"10s\"\n\
             max_body = \"0B\"\n\
             [upstreams.dead]\naddresses = [\"127.0.0.1:{}\"]\n",
            ports::free().unwrap()
        );
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(folder.path(), &[port], &format!("{routes}{extra}")).await.unwrap();
        Self { gateway, _origin: None, _folder: folder }
    }

    /// Raw octets over TLS, on a connection of their own.
    async fn raw(&self, octets: &str) -> Refused {
        let mut stream = self.tls().await;
        let octets = exchange(&mut stream, octets.as_bytes()).await.unwrap();
        let answer = read_answer(&mut octets.as_slice(), false).await.unwrap();
        Refused::of(answer.status, &answer.json(), answer.field("x-request-id"))
    }

    /// A request over HTTP/2.
    async fn h2(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Refused {
        let answer = self.gateway.client().unwrap().send(method, path, fields, None).await.unwrap();
        assert_eq!(answer.version, "HTTP/2.0");
        Refused::of(answer.status, &answer.json(), answer.header("x-request-id"))
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let config = Arc::new(tls_config(&self.gateway.ca(), &["http/1.1"]).unwrap());
        connect_tls(config, self.gateway.https_port, "localhost").await.unwrap()
    }

    async fn http2(&self) -> Http2 {
        Http2::connect(&self.gateway.ca(), self.gateway.https_port).await.unwrap()
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.gateway.http_port)).await.unwrap()
    }

    /// Waits until so many connections are open on the plain listener.
    async fn opens(&self, wanted: u64) {
        let line = format!("gateway_connections_open{{listener=\"http\"}} {wanted}");
        eventually(&line, PATIENCE, async || {
            let metrics = self.gateway.admin().unwrap().get("/metrics").await.text;
            metrics.lines().any(|text| text == line).then_some(())
        })
        .await;
    }

    /// How often a metric has counted this reason.
    async fn counted(&self, metric: &str, reason: &str) -> u64 {
        let line = format!("{metric}{{reason=\"{reason}\"}} ");
        let metrics = self.gateway.admin().unwrap().get("/metrics").await.expect(200);
        metrics.text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }

    /// How many lines of the log have this reason.
    fn logged(&self, reason: &str) -> usize {
        self.gateway.access_log().iter().filter(|line| line["reason"] == reason).count()
    }

    /// Provokes a refusal, and holds answer, log and metric against each other.
    async fn refuses(&self, code: Code, how: &str, provoke: impl Future<Output = Refused>) {
        let before = self.counted("gateway_refusals_total", code.as_str()).await;
        let refused = provoke.await;
        assert_eq!((refused.code.as_str(), refused.status), (code.as_str(), code.status().as_u16()), "{how}");
        assert_eq!(refused.problem_type, format!("/problems/{code}"), "{how}");
        let line = eventually(how, PATIENCE, async || {
            self.gateway.access_log().into_iter().find(|line| line["request_id"] == refused.request_id)
        })
        .await;
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&code.as_str().into(), &refused.status.into()),
            "{how}: {line}"
        );
        let after = self.counted("gateway_refusals_total", code.as_str()).await;
        assert_eq!(after, before + 1, "{how}: gateway_refusals_total{{reason=\"{code}\"}}");
    }

    /// Has a connection closed without an answer, and holds log and metric against each other.
    async fn closes(&self, reason: &str, provoke: impl Future<Output = ()>) {
        let before = (self.counted("gateway_connections_closed_total", reason).await, self.logged(reason));
        provoke.await;
        eventually(reason, PATIENCE, async || (self.logged(reason) > before.1).then_some(())).await;
        let after = self.counted("gateway_connections_closed_total", reason).await;
        let counts = (after - before.0, self.logged(reason) - before.1);
        assert_eq!(counts, (1, 1), "{reason} in metric and log: {:?}", self.gateway.access_log());
        assert_eq!(self.counted("gateway_refusals_total", reason).await, 0, "{reason} was no answer");
    }
}

impl Refused {
    fn of(status: u16, document: &serde_json::Value, request_id: Option<&str>) -> Self {
        let member = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(Some(member("request_id").as_str()), request_id, "one name for one request");
        Self {
            status,
            code: member("code"),
            problem_type: member("type"),
            request_id: request_id.unwrap_or_default().to_owned(),
        }
    }
}

/// An origin that begins its answers before it has read a body, and never ends them.
async fn eager_origin() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut octets = [0; 4096];
                while let Ok(1..) = stream.read(&mut octets).await {
                    let answer = if octets.starts_with(b"GET /readyz ") {
                        ok("ready")
                    } else {
                        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome".to_owned()
                    };
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Reads until the peer closes; it must not have said anything.
async fn ends_silently(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut octets = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut octets)).await.expect("it ends");
    assert!(!octets.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&octets));
}

pub(crate) async fn a_refusal_has_one_code_everywhere(_: &Services) {
    let edge = Edge::start("").await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let with = |fields: &str| format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    let long = "a".repeat(20_000);
    // What the head check refuses, and what is refused later, over either protocol.
    edge.refuses(Code::RequestMalformed, "a head", edge.raw("GET / HTTP/1.1\r\nHost : a\r\n\r\n")).await;
    edge.refuses(Code::RequestMalformed, "a path", edge.raw(&get("/v1/%2e%2e/x"))).await;
    edge.refuses(Code::RequestMalformed, "a path over h2", edge.h2("GET", "/v1/%2fx", &[])).await;
    edge.refuses(Code::RequestMalformed, "a chunk", edge.raw(&(with("Transfer-Encoding: chunked\r\n") + "0x1\r\n")))
        .await;
    edge.refuses(Code::NotFound, "no route", edge.raw(&get("/nothing"))).await;
    edge.refuses(Code::NotFound, "no route over h2", edge.h2("GET", "/nothing", &[])).await;
    edge.refuses(Code::MethodNotAllowed, "no such method", edge.h2("DELETE", "/v1/x", &[])).await;
    edge.refuses(Code::MethodNotAllowed, "TRACE", edge.raw("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    edge.refuses(Code::BodyTooLarge, "a length", edge.raw(&with("Content-Length: 2000\r\n"))).await;
    let chunks = with("Transfer-Encoding: chunked\r\n") + "800\r\n" + &"a".repeat(0x800) + "\r\n0\r\n\r\n";
    edge.refuses(Code::BodyTooLarge, "chunks", edge.raw(&chunks)).await;
    edge.refuses(Code::UriTooLong, "a target", edge.raw(&get(&format!("/v1/{long}")))).await;
    edge.refuses(Code::UriTooLong, "a target over h2", edge.h2("GET", &format!("/v1/{long}"), &[])).await;
    edge.refuses(Code::HeaderTooLarge, "a field", edge.raw(&with(&format!("X: {long}{long}\r\n")))).await;
    edge.refuses(Code::HeaderTooLarge, "a field over h2", edge.h2("GET", "/v1/x", &[("x", &format!("{long}{long}"))]))
        .await;
    edge.refuses(
        Code::HostUntrusted,
        "a host",
        edge.raw("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    )
    .await;
    let two = "GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    edge.refuses(Code::HostUntrusted, "two hosts", edge.raw(two)).await;
    edge.refuses(Code::NotImplemented, "a coding", edge.raw(&with("Transfer-Encoding: gzip, chunked\r\n"))).await;
    let asterisk = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    edge.refuses(Code::NotImplemented, "OPTIONS *", edge.raw(asterisk)).await;
    edge.refuses(Code::UpstreamUnreachable, "nobody listens", edge.h2("GET", "/dead", &[])).await;
    edge.refuses(Code::UpstreamInvalid, "no HTTP", edge.h2("GET", "/v1/garbage", &[])).await;
    edge.refuses(Code::UpstreamTimeout, "no answer", edge.h2("GET", "/slow", &[])).await;
    let kept = edge.gateway.client().unwrap();
    kept.get("/v1/x").await.expect(200);
    let refused = async {
        edge.gateway.reconfigure("[overload]\nmax_memory = \"1MiB\"\n").unwrap();
        let answer = eventually("the overload to be noticed", PATIENCE, async || {
            let answer = kept.get("/v1/x").await;
            (answer.status != 200).then_some(answer)
        })
        .await;
        Refused::of(answer.status, &answer.json(), answer.header("x-request-id"))
    };
    edge.refuses(Code::Overloaded, "too little memory", refused).await;
    let impatient = Edge::start("[connections]\nhead_timeout = \"1s\"\n").await;
    impatient.refuses(Code::RequestTimeout, "half a head", impatient.raw("GET / HTTP/1.1\r\nHo")).await;
}

/// Requests over HTTP/2 that Pingora refuses before any step of ours.
pub(crate) async fn what_pingora_refuses_is_logged_and_counted(_: &Services) {
    let two_hosts = [&request("GET", "/v1/x")[..], &[("host", "evil.example")]].concat();
    let no_host = [(":method", "GET"), (":scheme", "https"), (":path", "/v1/x")];
    let edge = Edge::start("").await;
    let mut http2 = edge.http2().await;
    for (stream, count, fields) in [(1, 1, &two_hosts[..]), (3, 2, &no_host)] {
        http2.send(&Frame::headers(stream, fields, true)).await.unwrap();
        assert_eq!(http2.outcome(stream).await.unwrap().status, 400);
        eventually("a line and a count", PATIENCE, async || {
            let counted = edge.counted("gateway_refusals_total", Code::RequestMalformed.as_str()).await;
            (counted == count && edge.logged("request_malformed") == usize::try_from(count).unwrap()).then_some(())
        })
        .await;
    }
    http2.send(&Frame::get(5, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(5).await.unwrap().status, 200, "the connection goes on");

    // Nobody is here for a host that is not served, whoever says so.
    let strict = Edge::start("[hosts]\non_untrusted = \"drop\"\n").await;
    for fields in [&two_hosts[..], &no_host] {
        strict
            .closes("host_dropped", async {
                let mut http2 = strict.http2().await;
                http2.send(&Frame::headers(1, fields, true)).await.unwrap();
                let outcome = http2.outcome(1).await.unwrap();
                assert_eq!((outcome.status, outcome.goaway, outcome.is_over), (0, None, true));
            })
            .await;
    }
}

pub(crate) async fn a_closed_connection_has_one_code_everywhere(_: &Services) {
    let impatient = Edge::start(
        "[connections]\nhandshake_timeout = \"300ms\"\nhead_timeout = \"300ms\"\nidle_timeout = \"300ms\"\n",
    )
    .await;
    let tls = async || TcpStream::connect(("127.0.0.1", impatient.gateway.https_port)).await.unwrap();
    impatient
        .closes("handshake_failed", async {
            let mut stream = tls().await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            ends_silently(&mut stream).await;
        })
        .await;
    impatient.closes("handshake_timeout", async { ends_silently(&mut tls().await).await }).await;
    impatient.closes("idle_timeout", async { ends_silently(&mut impatient.plain().await).await }).await;
    impatient
        .closes("head_timeout", async {
            let mut stream = impatient.plain().await;
            stream.write_all(b"\r\n").await.unwrap();
            ends_silently(&mut stream).await;
        })
        .await;

    let strict = Edge::start("[hosts]\non_untrusted = \"drop\"\n[connections]\nmax_per_address = 2\n").await;
    for head in
        ["GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"]
    {
        strict
            .closes("host_dropped", async {
                let mut stream = strict.plain().await;
                stream.write_all(head.as_bytes()).await.unwrap();
                ends_silently(&mut stream).await;
            })
            .await;
    }
    strict.opens(0).await;
    strict
        .closes("connections_exceeded", async {
            let _held = (strict.plain().await, strict.plain().await);
            strict.opens(2).await;
            ends_silently(&mut strict.plain().await).await;
        })
        .await;

    let proxied = Edge::start("[listen]\nproxy_protocol = \"require\"\nproxy_sources = [\"127.0.0.0/8\"]\n").await;
    proxied
        .closes("proxy_header_invalid", async {
            let mut stream = proxied.plain().await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            ends_silently(&mut stream).await;
        })
        .await;
    let young = Edge::start("[server]\ndrain_timeout = \"300ms\"\n[connections]\nmax_age = \"300ms\"\n").await;
    // One that was of use ends with an answer, and has its lines: its age is in the metric alone.
    young
        .closes("age_limit", async {
            let mut http2 = young.http2().await;
            assert_eq!(http2.end().await.unwrap(), Some(code::NO_ERROR));
        })
        .await;

    let edge = Edge::start("[connections]\nmax_streams = 5\nmax_resets = 30\n").await;
    edge.closes("h2_abuse", async {
        let mut http2 = edge.http2().await;
        // An even stream is a server's.
        http2.send(&Frame::get(2, "/v1/x")).await.unwrap();
        assert_eq!(http2.end().await.unwrap(), Some(code::PROTOCOL_ERROR));
    })
    .await;
    edge.closes("streams_exceeded", async {
        let mut http2 = edge.http2().await;
        for stream in (1..400).step_by(2) {
            if http2.send(&Frame::get(stream, "/slow")).await.is_err() {
                break;
            }
        }
        assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM));
    })
    .await;

    let eager = eager_origin().await;
    let edge = Edge::before(eager, "[connections]\nbody_timeout = \"300ms\"\n").await;
    edge.closes("body_timeout", async {
        let mut stream = edge.tls().await;
        let head = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The answer has begun: nothing can be said any more.
        let mut octets = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut octets)).await.expect("it ends");
        assert!(
            octets.starts_with(b"HTTP/1.1 200 ") && octets.ends_with(b"some"),
            "{}",
            String::from_utf8_lossy(&octets)
        );
    })
    .await;

    let edge = Edge::start("[connections]\nwrite_timeout = \"300ms\"\n").await;
    edge.closes("write_timeout", async {
        let mut stream = edge.tls().await;
        stream.write_all(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        // It takes nothing of what comes, until the gateway has given up.
        eventually("the gateway to give up", PATIENCE, async || (edge.logged("write_timeout") == 1).then_some(()))
            .await;
    })
    .await;
}

/// Codes that only the API gives; the gateway passes them on.
const OF_THE_API: [Code; 17] = [
    Code::CursorInvalid,
    Code::TokenMissing,
    Code::TokenInvalid,
    Code::CredentialsInvalid,
    Code::Forbidden,
    Code::Conflict,
    Code::IdempotencyInFlight,
    Code::CursorExpired,
    Code::PreconditionFailed,
    Code::UnsupportedMediaType,
    Code::RangeUnsatisfiable,
    Code::Invalid,
    Code::IdempotencyMismatch,
    Code::PreconditionRequired,
    Code::RateLimited,
    Code::DatabaseUnavailable,
    Code::Screened,
];

/// A code of the gateway's that nothing from outside can provoke: it would be a mistake of ours.
const MISTAKES: [Code; 1] = [Code::Internal];

/// Every code that the gateway's source names is provoked in this file. Whoever adds one adds a row.
pub(crate) async fn every_code_of_the_gateway_is_provoked(_: &Services) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut source = String::new();
    read(&root.join("gateway/src"), &mut source);
    let here = include_str!("why_codes.rs");
    let (here, _) = here.split_once("/// Codes that only").unwrap();
    for code in Code::ALL {
        let named = source.contains(&format!("Code::{code:?}"));
        let provoked = here.contains(&format!("refuses(Code::{code:?}"));
        if OF_THE_API.contains(code) {
            assert!(!named, "{code} is the gateway's as well now: give it a row");
        } else if named && !MISTAKES.contains(code) {
            assert!(provoked, "no row provokes {code}");
        }
    }
    let closed: Vec<_> = source
        .split_once("pub enum Closed")
        .and_then(|(_, rest)| rest.split_once("pub const fn as_str"))
        .map(|(_, rest)| rest.split('}').next().unwrap().split('"').skip(1).step_by(2).collect())
        .unwrap();
    assert!(closed.len() >= 12, "{closed:?}");
    for reason in closed {
        assert!(here.contains(&format!("\"{reason}\"")), "no row has a connection closed for {reason}");
    }
}

/// Everything below a folder, without tests.
fn read(folder: &Path, source: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy();
        if path.is_dir() && name != "tests" {
            read(&path, source);
        } else if path.is_file() && !name.ends_with("tests") {
            let text = fs::read_to_string(&path).unwrap();
            source.push_str(text.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
}
