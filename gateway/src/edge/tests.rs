//! The edge in front of a proxy that echoes: real sockets, real handshakes, deadlines short enough to wait for.

use std::{
    os::fd::AsRawFd as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

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
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

mod connections;
mod requests;

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
        assert_ne!(request.uri.path(), "/panic");
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
    overloaded: AtomicBool,
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

    fn accepted(&self) -> Arc<()> {
        Arc::default()
    }

    fn opened(&self, info: &ConnectionInfo, open: usize) {
        self.note(format!("opened {:?} {open}", info.protocol));
    }

    fn is_proxy(&self, _: IpAddr) -> bool {
        false
    }

    fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }

    fn turned_away(&self, _: SocketAddr, _: Endpoint, reason: Closed, cap: Option<Cap>) {
        let cap = cap.map(|cap| format!(" {}", cap.as_str())).unwrap_or_default();
        self.note(format!("turned away {}{cap}", reason.as_str()));
    }

    fn refused(&self, _: &ConnectionInfo, refusal: &Refusal, _: usize) -> Bytes {
        self.note(format!("refused {}", refusal.code));
        Bytes::from(format!("HTTP/1.1 {} x\r\nConnection: close\r\n\r\nproblem", refusal.code.status().as_u16()))
    }

    fn rejected(&self, _: &ConnectionInfo) -> bool {
        self.note("rejected".to_owned());
        true
    }

    fn closed(&self, _: &ConnectionInfo, end: &End) {
        self.note(format!("closed {} {}", end.reason.map_or("-", Closed::as_str), end.served));
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
        proxy: None,
        idle_timeout: Duration::from_secs(10),
        idle_grace: Duration::from_millis(100),
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(10),
        min_rate: 1024,
        max_age: Duration::from_hours(1),
        age_grace: Duration::from_secs(10),
        caps: CapLimits {
            total: 100,
            per_address: 100,
            per_network: 100,
            network_v4: 24,
            network_v6: 48,
            handshakes: 1000,
            handshakes_per_address: 1000,
        },
        http2_streams: 100,
        floods: FloodLimits { control_frames: 1000, resets: 100 },
        head: HeadLimits { octets: 8192, fields: 50, target: 1024 },
    };
    change(&mut settings);
    let recorder = Arc::new(Recorder {
        settings: Arc::new(settings),
        endpoint,
        overloaded: AtomicBool::new(false),
        events: Mutex::default(),
    });
    let proxy = http_proxy(&Arc::new(ServerConf::default()), Echo);
    let edge = Arc::new(Edge::new(proxy, recorder.clone()));
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

    /// A connection over TLS, with these protocols on offer.
    async fn connect_tls(&self, protocols: &[&[u8]]) -> TlsStream<tokio::net::TcpStream> {
        let mut config = (*self.client).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.expect("a handshake")
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

/// Waits until the edge has closed, without a goodbye of TLS.
async fn is_cut(mut stream: impl AsyncRead + Unpin) {
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await.expect("in time");
    assert_eq!(read.expect_err("no goodbye").kind(), std::io::ErrorKind::UnexpectedEof);
}
