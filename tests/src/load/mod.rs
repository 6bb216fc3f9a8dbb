//! Constant load that forgives nothing: what a request gets is compared octet by octet, and nothing is tried again that a
//! server may have seen.
//!
//! Each worker goes on as long as the load: over kept HTTP/1.1 connections, over a new one for each request, and over HTTP/2
//! with several streams at once. It leaves a connection only when it is told to (`Connection: close`, GOAWAY) or has to.

mod http2;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::client::TlsStream;

use crate::{
    raw::{PATIENCE, connect_tls, read_answer, tls_config},
    wait::eventually,
};

/// Workers of each HTTP/1 kind.
const WORKERS: usize = 2;

/// How many failures are told; the first ones tell the story.
const MOST_TOLD: usize = 10;

/// What is asked for, again and again, and what has to come back.
#[derive(Debug, Clone)]
pub struct Question {
    /// The request's target.
    pub path: String,
    /// The answer's body.
    pub body: String,
}

/// What the load has seen.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Right answers over kept HTTP/1.1 connections.
    pub kept: u64,
    /// Right answers over connections of their own.
    pub fresh: u64,
    /// Right answers over HTTP/2.
    pub h2: u64,
    /// Connections that were made, of all kinds.
    pub connections: u64,
    /// HTTP/2 requests that the server declared unseen by GOAWAY (RFC 9113 section 6.8), which were sent anew.
    pub unseen: u64,
    /// Everything else.
    pub failed: u64,
    /// The first of those, in words.
    pub errors: Vec<String>,
}

impl Seen {
    /// Right answers, of all kinds.
    pub const fn answered(&self) -> u64 {
        self.kept + self.fresh + self.h2
    }
}

/// Running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    port: u16,
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    token: Option<String>,
    questions: Vec<Question>,
    next: AtomicUsize,
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

impl Load {
    /// Begins to ask `https://localhost:<port>`, and returns when each kind of worker has been answered.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub async fn start(port: u16, ca: &Path, token: Option<&str>, questions: Vec<Question>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            port,
            h1: Arc::new(tls_config(ca, &["http/1.1"])?),
            h2: Arc::new(tls_config(ca, &["h2"])?),
            token: token.map(str::to_owned),
            questions,
            next: AtomicUsize::new(0),
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            let (kept, fresh) = (Arc::clone(&shared), Arc::clone(&shared));
            tasks.spawn(async move { kept.ask_over_kept().await });
            tasks.spawn(async move { fresh.ask_over_fresh().await });
        }
        tasks.spawn(Arc::clone(&shared).ask_over_h2());
        let load = Self { shared, tasks };
        load.more(10).await;
        Ok(load)
    }

    /// Waits until each kind of worker has had so many more right answers, or a request has failed.
    pub async fn more(&self, answers: u64) {
        let before = self.seen();
        eventually("the load to be answered", Duration::from_mins(1), async || {
            let now = self.seen();
            let least = [now.kept - before.kept, now.fresh - before.fresh, now.h2 - before.h2].into_iter().min();
            (least >= Some(answers) || now.failed > before.failed).then_some(())
        })
        .await;
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().expect("unpoisoned").clone()
    }

    /// Ends it, after the requests that are under way.
    ///
    /// # Panics
    /// When a worker did.
    pub async fn end(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a worker does not panic");
        }
        self.seen()
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn question(&self) -> &Question {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        &self.questions[number % self.questions.len()]
    }

    fn note(&self, what: impl FnOnce(&mut Seen)) {
        what(&mut self.seen.lock().expect("unpoisoned"));
    }

    fn fail(&self, error: String) {
        self.note(|seen| {
            seen.failed += 1;
            if seen.errors.len() < MOST_TOLD {
                seen.errors.push(error);
            }
        });
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = timeout(PATIENCE, connect_tls(Arc::clone(config), self.port, "localhost")).await?;
        self.note(|seen| seen.connections += 1);
        stream.map_err(|error| io::Error::new(error.kind(), format!("no connection: {error}")))
    }

    async fn ask_over_kept(&self) {
        let mut connection = None;
        while self.goes_on() {
            match self.ask_h1(connection.take(), false).await {
                Ok(kept) => {
                    connection = kept;
                    self.note(|seen| seen.kept += 1);
                }
                Err(error) => self.fail(format!("over a kept connection: {error}")),
            }
        }
    }

    async fn ask_over_fresh(&self) {
        while self.goes_on() {
            match self.ask_h1(None, true).await {
                Ok(_) => self.note(|seen| seen.fresh += 1),
                Err(error) => self.fail(format!("over a fresh connection: {error}")),
            }
        }
    }

    /// Asks one question; hands the connection back when it may be used again.
    async fn ask_h1(
        &self,
        connection: Option<TlsStream<TcpStream>>,
        is_last: bool,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut stream = match connection {
            Some(stream) => stream,
            None => self.connect(&self.h1).await?,
        };
        let question = self.question();
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let close = if is_last { "Connection: close\r\n" } else { "" };
        let head = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{token}{close}\r\n", question.path);
        stream.write_all(head.as_bytes()).await?;
        let answer = read_answer(&mut stream, false).await?;
        compare(question, answer.status, &answer.body)?;
        let goes_on = answer.field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        Ok(goes_on.then_some(stream))
    }
}

fn compare(question: &Question, status: u16, body: &[u8]) -> io::Result<()> {
    if status == 200 && body == question.body.as_bytes() {
        return Ok(());
    }
    let body = String::from_utf8_lossy(body);
    Err(io::Error::other(format!("{}: {status} and {} octets: {body:.200}", question.path, body.len())))
}
