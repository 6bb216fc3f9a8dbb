//! A TLS listener in front of the proxy, and a client that sends what it is told to.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::{
    apps::ServerApp as _, protocols::l4::stream::Stream as L4Stream, proxy::http_proxy,
    server::configuration::ServerConf,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;
use todo_gateway::{
    config::{self, Config},
    edge::{
        Edge,
        tls::{Sessions, Tls, provider},
    },
    observe::{
        access_log::{AccessLog, Output},
        metrics::Metrics,
    },
    proxy::Proxy,
    runtime::Shared,
};
use todo_shared::{cli::ConfigArgs, config::Variables, telemetry::LogFormat};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::origin::Origin;

/// A file with one route for everything, with this key changed.
pub(crate) fn route(changed: &str) -> String {
    let mut keys = vec!["timeout = \"30s\"", "max_body = \"256KiB\""];
    let name = changed.split(' ').next().expect("a key");
    keys.retain(|key| !key.starts_with(name));
    format!(
        "[[routes]]\nname = \"api\"\npaths = [\"/*\"]\nmethods = [\"GET\", \"POST\"]\nupstream = \"api\"\n{}\n{changed}\n",
        keys.join("\n")
    )
}

struct NoVariables;

impl Variables for NoVariables {
    fn all(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The proxy behind a TLS listener.
pub(crate) struct Gateway {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    shared: Arc<Shared>,
    log: PathBuf,
    _folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Gateway {
    /// Starts one in front of this origin, with these lines on top of development's configuration.
    pub(crate) async fn before(origin: &Origin, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let authority = folder.path().join("tls");
        let text = format!(
            "tls.directory = \"{}\"\nupstreams.api.addresses = [\"{}\"]\n{text}",
            authority.display(),
            origin.address()
        );
        let config = load(&folder, &text);
        let log = folder.path().join("access.log");
        let metrics = Metrics::new().expect("metrics");
        let access_log =
            AccessLog::start(Output::File(log.clone()), LogFormat::Json, metrics.access_log_dropped.clone());
        let _ = provider().install_default();
        let sessions = Sessions::new().expect("randomness");
        let tls = Tls::load(&config.tls, &sessions, SystemTime::now()).expect("certificates");
        let client = client(&authority.join("ca.pem"));
        let shared = Arc::new(Shared::new(config, tls, sessions, metrics, access_log.expect("log")));
        let proxy = http_proxy(&Arc::new(ServerConf::default()), Proxy::new(Arc::clone(&shared)));
        let surroundings = todo_gateway::surroundings::Gateway::new(Arc::clone(&shared), None);
        let edge = Arc::new(Edge::new(proxy, Arc::new(surroundings)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.expect("connection");
                let (edge, stopped) = (Arc::clone(&edge), stopped.clone());
                connections.spawn(async move {
                    let mut l4 = L4Stream::from(stream);
                    let digest = pingora::protocols::SocketDigest::from_raw_fd(std::os::fd::AsRawFd::as_raw_fd(&l4));
                    digest.peer_addr.set(Some(peer.into())).expect("unset");
                    pingora::protocols::GetSocketDigest::set_socket_digest(&mut l4, digest);
                    edge.process_new(Box::new(l4), &stopped).await;
                });
            }
        });
        Self { address, client: Arc::new(client), shared, log, _folder: folder, _tasks: tasks }
    }

    /// From now on it stops.
    pub(crate) fn drain(&self) {
        self.shared.stopping.drain();
    }

    async fn connect(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("name");
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.client));
        connector.connect(name, stream).await.expect("handshake")
    }

    /// The octets that come back for these, until the gateway closes.
    pub(crate) async fn octets(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect().await;
        // The gateway may answer and close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets).await;
        octets
    }

    /// What comes back for a request whose body trickles in, an octet every tenth of a second.
    pub(crate) async fn trickle(&self, head: &str) -> Answer {
        let (mut from, mut to) = tokio::io::split(self.connect().await);
        to.write_all(head.as_bytes()).await.expect("sent");
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let trickling = async {
            while to.write_all(b"a").await.is_ok() {
                ticks.tick().await;
            }
            std::future::pending::<()>().await;
        };
        let mut octets = Vec::new();
        tokio::select! {
            read = from.read_to_end(&mut octets) => drop(read),
            () = trickling => {}
        }
        Answer::parse(&octets)
    }

    /// Sends a request and reads nothing, until the gateway closes for this reason.
    pub(crate) async fn unread(&self, request: &str, reason: &str) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let closed = self.shared.metrics.connections_closed.with_label_values(&[reason]);
        let wait = async {
            while closed.get() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("closed in time");
    }

    /// Sends this request until the gateway stops reading, reads no answer, and leaves.
    pub(crate) async fn flood(&self, request: &str) {
        let mut stream = self.connect().await;
        let requests = request.repeat(100);
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(requests.as_bytes())).await
        {
        }
        drop(stream);
        let gone = async {
            while self.shared.open_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("every connection ends");
    }

    /// One request on a connection of its own, and its answer.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let request = request.replacen("\r\nHost:", "\r\nConnection: close\r\nHost:", 1);
        Answer::parse(&self.octets(&request).await)
    }

    /// One HTTP/2 request, and its answer.
    pub(crate) async fn ask_http2(&self, request: http::Request<Vec<u8>>) -> Answer {
        let mut config = (*self.client).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("handshake");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let (head, body) = request.into_parts();
        let mut client = client.ready().await.expect("ready");
        let (answer, mut sender) =
            client.send_request(http::Request::from_parts(head, ()), body.is_empty()).expect("sent");
        if !body.is_empty() {
            sender.send_data(body.into(), true).expect("queued");
        }
        let (head, mut body) = answer.await.expect("an answer").into_parts();
        let mut octets = Vec::new();
        while let Some(piece) = body.data().await {
            octets.extend_from_slice(&piece.expect("a piece"));
        }
        driver.abort();
        Answer { status: head.status, headers: head.headers, body: octets }
    }

    /// The access log, whole: nothing can be logged after this.
    pub(crate) fn access_log(&self) -> Vec<serde_json::Value> {
        self.shared.access_log.stop();
        let text = std::fs::read_to_string(&self.log).expect("log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn load(folder: &TempDir, text: &str) -> Config {
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).expect("written");
    let arguments = ConfigArgs { config: Some(path), ..ConfigArgs::default() };
    config::load_with(&arguments, &NoVariables).unwrap_or_else(|report| panic!("{report}"))
}

/// A client that trusts this authority.
fn client(authority: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("certificate")).expect("root");
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(octets: &[u8]) -> Self {
        let end =
            octets.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_else(|| panic!("no head in {octets:?}"));
        let head = std::str::from_utf8(&octets[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("status");
        let field = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
        };
        let headers = lines.map(|line| field(line).unwrap_or_else(|| panic!("{line}"))).collect();
        Self { status, headers, body: octets[end + 4..].to_vec() }
    }
}
