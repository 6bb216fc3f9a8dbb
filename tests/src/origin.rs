//! A recording origin: stands where the API stands, keeps what arrives, answers as it is told.
//!
//! It is not a mock of the API. Cases use it where the question is what the gateway sends, or what it does with an
//! answer that the API would never give.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::JoinHandle,
};

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The request line.
    pub line: String,
    /// The fields in their order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// What an answer begins with after which the connection closes: whole, cut short, or without a word.
pub const CLOSE: &str = "CLOSE";

type Answer = Pin<Box<dyn Future<Output = Bytes> + Send>>;

type Answering = dyn Fn(Request, usize) -> Answer + Send + Sync;

/// A running origin; it ends with its handle.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts an origin that answers with what `answer` makes of a request: octets of a whole HTTP/1.1 answer, which
    /// `Bytes` share where they are many.
    /// Health checks (`/readyz`) are answered with 200 and not recorded.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn start<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> io::Result<Self>
    where
        F: Future<Output: Into<Bytes>> + Send + 'static,
    {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).await?, move |request, _| answer(request))
    }

    /// The same on this address.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn on<F>(
        address: impl ToSocketAddrs,
        answer: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output: Into<Bytes>> + Send + 'static,
    {
        Self::listen(TcpListener::bind(address).await?, move |request, _| answer(request))
    }

    /// The same with an answer that also depends on how many requests came before on the connection.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn start_counting<F>(answer: impl Fn(Request, usize) -> F + Send + Sync + 'static) -> io::Result<Self>
    where
        F: Future<Output: Into<Bytes>> + Send + 'static,
    {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).await?, answer)
    }

    fn listen<F>(
        listener: TcpListener,
        answer: impl Fn(Request, usize) -> F + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output: Into<Bytes>> + Send + 'static,
    {
        let port = listener.local_addr()?.port();
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (recorded, counted) = (requests.clone(), connections.clone());
        let answer: Arc<Answering> = Arc::new(move |request, nth| {
            let answer = answer(request, nth);
            Box::pin(async { answer.await.into() })
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::AcqRel);
                let (recorded, counted, answer) = (recorded.clone(), counted.clone(), answer.clone());
                tokio::spawn(async move {
                    // A peer that leaves in the middle is no concern of the origin's.
                    let _ = serve(stream, &recorded, &*answer).await;
                    counted.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
        Ok(Self { port, requests, connections, task })
    }

    /// An origin that answers everything with 200 and a small body.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn plain() -> io::Result<Self> {
        Self::start(async |_| ok("hello")).await
    }

    /// What has arrived so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("unpoisoned").clone()
    }

    /// The last request that arrived.
    pub fn last(&self) -> Request {
        self.requests().pop().unwrap_or_default()
    }

    /// How many connections to it are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer with status 200.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, recorded: &Mutex<Vec<Request>>, answer: &Answering) -> io::Result<()> {
    let (mut held, mut nth) = (Vec::new(), 0);
    while let Some(request) = read_request(&mut stream, &mut held).await? {
        if request.target() == "/readyz" {
            stream.write_all(ok("ready").as_bytes()).await?;
            continue;
        }
        recorded.lock().expect("unpoisoned").push(request.clone());
        let answer = answer(request, nth).await;
        nth += 1;
        if let Some(last) = answer.strip_prefix(CLOSE.as_bytes()) {
            return stream.write_all(last).await;
        }
        stream.write_all(&answer).await?;
    }
    Ok(())
}

pub(crate) async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    held: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(held).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&held[..end]).into_owned();
    held.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let mut request = Request { line, fields, body: Vec::new() };
    if let Some(length) = request.field("content-length").and_then(|length| length.parse::<usize>().ok()) {
        while held.len() < length {
            if stream.read_buf(held).await? == 0 {
                return Ok(None);
            }
        }
        request.body = held.drain(..length).collect();
    } else if request.field("transfer-encoding").is_some() {
        loop {
            let end = loop {
                if let Some(end) = held.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                if stream.read_buf(held).await? == 0 {
                    return Ok(None);
                }
            };
            let size =
                usize::from_str_radix(String::from_utf8_lossy(&held[..end]).trim(), 16).map_err(io::Error::other)?;
            while held.len() < end + 2 + size + 2 {
                if stream.read_buf(held).await? == 0 {
                    return Ok(None);
                }
            }
            request.body.extend_from_slice(&held[end + 2..end + 2 + size]);
            held.drain(..end + 2 + size + 2);
            if size == 0 {
                break;
            }
        }
    }
    Ok(Some(request))
}
