//! The edge in front of a proxy that echoes: real sockets, real handshakes, deadlines short enough to wait for.

use std::{os::fd::AsRawFd as _, sync::Mutex};

use pingora::http::ResponseHeader;
use pingora_core::{protocols::SocketDigest, server::configuration::ServerConf, upstreams::peer::HttpPeer};
use pingora_proxy::{Session, http_proxy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::*;

/// Answers by itself, with what it sees: the connection's facts, the method, the path and the body.
struct Echo;

#[async_trait]
impl ProxyHttp for Echo {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Err(pingora_core::Error::new_str("there is no upstream"))
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> pingora_core::Result<bool> {
        let mut body = Vec::new();
        while let Some(octets) = session.read_request_body().await? {
            body.extend_from_slice(&octets);
        }
        let info = connection_info(session).expect("a session of the edge");
        let tls = info.tls.as_ref().map_or("plain", |tls| if tls.resumed { "resumed" } else { tls.version });
        let request = session.req_header();
        let answer = format!(
            "{:?} {tls} {} {} {}",
            info.protocol,
            request.method,
            request.uri.path(),
            String::from_utf8_lossy(&body)
        );
        let mut head = ResponseHeader::build(200, None)?;
        head.insert_header("content-length", answer.len().to_string())?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(answer.into()), true).await?;
        Ok(true)
    }
}

/// Keeps what the edge says.
struct Recorder {
    settings: Arc<Settings>,
    endpoint: Endpoint,
    events: Mutex<Vec<String>>,
}

impl Recorder {
    fn note(&self, event: String) {
        self.events.lock().expect("unpoisoned").push(event);
    }
}

impl Surroundings for Recorder {
    fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    fn endpoint(&self, _: SocketAddr) -> Endpoint {
        self.endpoint
    }

    fn opened(&self, info: &ConnectionInfo, open: usize) {
        self.note(format!("opened {:?} {open}", info.protocol));
    }

    fn turned_away(&self, _: SocketAddr, _: Endpoint, reason: Closed) {
        self.note(format!("turned away {}", reason.as_str()));
    }

    fn refused(&self, _: &ConnectionInfo, refusal: &Refusal, _: usize) -> Bytes {
        self.note(format!("refused {}", refusal.code));
        Bytes::from(format!("HTTP/1.1 {} x\r\nConnection: close\r\n\r\n", refusal.code.status().as_u16()))
    }

    fn closed(&self, _: &ConnectionInfo, reason: Option<Closed>, served: u64) {
        self.note(format!("closed {} {served}", reason.map_or("-", Closed::as_str)));
    }
}

/// A running edge.
struct Running {
    port: u16,
    recorder: Arc<Recorder>,
    stop: watch::Sender<bool>,
    client: Arc<ClientConfig>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(endpoint: Endpoint, change: impl FnOnce(&mut Settings)) -> Running {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(certified.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions")
    };
    let mut tls = builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).expect("a pair");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());

    let mut settings = Settings {
        tls: Arc::new(tls),
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        head_timeout: Duration::from_secs(10),
        max_connections: 100,
        max_connections_per_address: 100,
        head: HeadLimits { octets: 8192, fields: 50, target: 1024 },
    };
    change(&mut settings);
    let recorder = Arc::new(Recorder { settings: Arc::new(settings), endpoint, events: Mutex::default() });
    let proxy = http_proxy(&Arc::new(ServerConf::default()), Echo);
    let edge = Arc::new(Edge::new(proxy, recorder.clone(), Duration::from_secs(10)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (stop, watch) = watch::channel(false);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (edge, watch) = (edge.clone(), watch.clone());
            let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
            let mut stream = TcpStream::from(stream);
            stream.set_socket_digest(digest);
            stream.set_nodelay().expect("a socket");
            tokio::spawn(async move { edge.process_new(Box::new(stream), &watch).await.is_none() });
        }
    });
    Running { port, recorder, stop, client, task }
}

impl Running {
    async fn connect(&self) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection")
    }

    /// Waits until the edge has said this.
    async fn event(&self, wanted: &str) {
        for _ in 0..1000 {
            if self.recorder.events.lock().expect("unpoisoned").iter().any(|event| event == wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{wanted} was never said: {:?}", self.recorder.events.lock().expect("unpoisoned"));
    }
}

/// Sends octets and reads until the edge closes.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), octets: &str) -> String {
    stream.write_all(octets.as_bytes()).await.expect("sent");
    read_to_end(stream).await
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("in time").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn pipelined_requests_with_every_kind_of_body_are_served_in_order() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let requests = "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /3 HTTP/1.1\r\nHost: a\r\n\
                    Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: v\r\n\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut edge.connect().await, requests).await;
    let bodies: Vec<_> = answer
        .lines()
        .filter(|line| line.starts_with("Http1"))
        .map(|line| line.split("HTTP").next().unwrap_or_default())
        .collect();
    assert_eq!(
        bodies,
        ["Http1 plain GET /1 ", "Http1 plain POST /2 abc", "Http1 plain POST /3 def", "Http1 plain GET /4 "],
        "{answer}"
    );
    edge.event("closed - 4").await;
}

#[tokio::test]
async fn octets_may_come_one_by_one() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let mut stream = edge.connect().await;
    stream.set_nodelay(true).expect("a socket");
    let request =
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for octet in request.as_bytes() {
        stream.write_all(&[*octet]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("POST /1 abc"), "{answer}");
}

#[tokio::test]
async fn what_is_malformed_is_answered_once_and_closed() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let answer =
        exchange(&mut edge.connect().await, "GET / HTTP/1.1\r\nHost : a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("Http1"), "{answer}");
    edge.event("refused request_malformed").await;
    // A request that is whole is served before a malformed one behind it is refused.
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET\r\n\r\n").await;
    assert!(answer.contains("GET /1") && answer.contains("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_malformed_chunk_never_reaches_the_proxys_body() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\nx\r\n0\r\n\r\n";
    let answer = exchange(&mut edge.connect().await, request).await;
    assert!(!answer.contains("abc"), "{answer}");
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let edge = run(Endpoint::Http, |settings| {
        settings.idle_timeout = Duration::from_millis(100);
        settings.head_timeout = Duration::from_millis(200);
    })
    .await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("closed idle_timeout 0").await;
    let answer = exchange(&mut edge.connect().await, "GET / HT").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    edge.event("refused request_timeout").await;
    // A kept connection has the same deadlines.
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "{answer}");
    edge.event("closed idle_timeout 1").await;

    let edge = run(Endpoint::Https, |settings| settings.handshake_timeout = Duration::from_millis(100)).await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("turned away handshake_timeout").await;
}

#[tokio::test]
async fn caps_turn_connections_away_and_slots_come_back() {
    let edge = run(Endpoint::Http, |settings| settings.max_connections_per_address = 1).await;
    let mut first = edge.connect().await;
    edge.event("opened Http1 1").await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("turned away connections_exceeded").await;
    let answer = exchange(&mut first, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "{answer}");
    edge.event("closed - 1").await;
    drop(first);
    let answer = exchange(&mut edge.connect().await, "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /2 "), "{answer}");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_serves_begun_ones() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let (mut idle, mut begun) = (edge.connect().await, edge.connect().await);
    begun.write_all(b"GET /1 HTTP/1.1\r\nHo").await.expect("sent");
    edge.event("opened Http1 2").await;
    // The begun head has been read when an answer to a later connection has come.
    exchange(&mut edge.connect().await, "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    edge.stop.send_replace(true);
    assert_eq!(read_to_end(&mut idle).await, "");
    let answer = exchange(&mut begun, "st: a\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 ") && answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn filters_see_the_connection_over_tls_and_both_protocols() {
    let edge = run(Endpoint::Https, |_| ()).await;
    let name = || ServerName::try_from("localhost").expect("a name");
    for expected in ["Http1 1.3 GET /1 ", "Http1 resumed GET /1 "] {
        let mut stream =
            TlsConnector::from(edge.client.clone()).connect(name(), edge.connect().await).await.expect("a handshake");
        let answer = exchange(&mut stream, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.ends_with(expected), "{answer}");
    }
    let mut config = (*edge.client).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let stream = TlsConnector::from(Arc::new(config)).connect(name(), edge.connect().await).await.expect("a handshake");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("h2");
    let driving = tokio::spawn(connection);
    for path in ["/1", "/2"] {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).expect("a request");
        let (answer, _) = client.send_request(request, true).expect("sent");
        let mut body = answer.await.expect("an answer").into_body();
        let octets = body.data().await.expect("a body").expect("octets");
        assert_eq!(octets, format!("Http2 1.3 GET {path} "));
    }
    edge.stop.send_replace(true);
    timeout(Duration::from_secs(20), driving).await.expect("GOAWAY ends it").expect("no panic").expect("no error");
    edge.event("closed - 1").await;

    edge.stop.send_replace(false);
    let mut plain = edge.connect().await;
    let answer = exchange(&mut plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    edge.event("turned away handshake_failed").await;
}
