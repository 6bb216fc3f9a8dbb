//! An origin that says what it is told to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Mutex,
    task::JoinSet,
};

/// What an origin says to every request.
#[derive(Clone)]
enum Says {
    All(String),
    Dribble,
    Nothing,
}

/// An origin that keeps the heads it receives.
pub(crate) struct Origin {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Origin {
    /// Answers every request with these octets, then closes.
    pub(crate) async fn answering(answer: &str) -> Self {
        Self::start(Says::All(answer.to_owned())).await
    }

    /// Answers with a head and then one octet every tenth of a second, for ever.
    pub(crate) async fn dribbling() -> Self {
        Self::start(Says::Dribble).await
    }

    /// Never answers.
    pub(crate) async fn silent() -> Self {
        Self::start(Says::Nothing).await
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&heads);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("connection");
                let (kept, says) = (Arc::clone(&kept), says.clone());
                connections.spawn(async move {
                    let mut octets = Vec::new();
                    while !octets.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut octets).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    kept.lock().await.push(String::from_utf8_lossy(&octets).into_owned());
                    match says {
                        Says::All(answer) => drop(stream.write_all(answer.as_bytes()).await),
                        Says::Nothing => std::future::pending().await,
                        Says::Dribble => {
                            let mut ticks = tokio::time::interval(Duration::from_millis(100));
                            let mut piece = &b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"[..];
                            while stream.write_all(piece).await.is_ok() {
                                ticks.tick().await;
                                piece = b"a";
                            }
                        }
                    }
                });
            }
        });
        Self { address, heads, _tasks: tasks }
    }

    /// The heads so far.
    pub(crate) async fn heads(&self) -> Vec<String> {
        self.heads.lock().await.clone()
    }
}
