//! An origin that keeps the octets it receives, and says octets that it is given, however wrong.
//!
//! [`crate::origin`] takes requests apart; here nothing is tidied up, on either side. It is also not misled: whatever it
//! cannot frame it keeps as part of a message.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the origin says to each request.
#[derive(Debug, Clone, Default)]
pub struct Says {
    /// As soon as the head is there: an interim answer, or an answer that comes too early.
    pub at_head: Vec<u8>,
    /// When the request is whole.
    pub at_end: Vec<u8>,
    /// Whether it closes after that.
    pub closes: bool,
}

/// What has arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Whole requests, each with its body as it was framed.
    pub whole: Vec<Vec<u8>>,
    /// What came of requests that never became whole.
    pub parts: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    says: Says,
    record: Record,
    /// The part that is arriving, for whoever waits for it.
    arriving: Vec<u8>,
}

/// A running origin; it ends with its handle.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts one that answers health checks (`/readyz`) and records everything else.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    // A peer that leaves in the middle is no concern of the origin's.
                    let _ = serve(stream, &state).await;
                });
            }
        });
        Ok(Self { port, state, task })
    }

    /// Forgets what has arrived; says this from now on.
    pub fn says(&self, says: Says) {
        let mut state = self.state.lock().expect("unpoisoned");
        *state = State { says, ..State::default() };
    }

    /// What has arrived since then.
    pub fn record(&self) -> Record {
        self.state.lock().expect("unpoisoned").record.clone()
    }

    /// Whether these octets are part of what is arriving or has arrived.
    pub fn has_seen(&self, octets: &[u8]) -> bool {
        let state = self.state.lock().expect("unpoisoned");
        let all = state.record.whole.iter().chain(&state.record.parts).chain([&state.arriving]);
        all.into_iter().any(|message| contains(message, octets))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether `needle` is somewhere in `octets`.
pub fn contains(octets: &[u8], needle: &[u8]) -> bool {
    octets.windows(needle.len().max(1)).any(|window| window == needle)
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let (mut held, mut has_begun) = (Vec::new(), false);
    loop {
        let head = position(&held, b"\r\n\r\n").map(|end| end + 4);
        let is_check = held.starts_with(b"GET /readyz ");
        if let Some(end) = head
            && !is_check
            && !has_begun
        {
            has_begun = true;
            let says = state.lock().expect("unpoisoned").says.at_head.clone();
            state.lock().expect("unpoisoned").arriving = held[..end].to_vec();
            stream.write_all(&says).await?;
        }
        if let Some(length) = head.and_then(|end| message_length(&held, end)) {
            let message: Vec<u8> = held.drain(..length).collect();
            has_begun = false;
            if is_check {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
                continue;
            }
            let says = {
                let mut state = state.lock().expect("unpoisoned");
                state.record.whole.push(message);
                state.arriving.clear();
                state.says.clone()
            };
            stream.write_all(&says.at_end).await?;
            if says.closes {
                return stream.shutdown().await;
            }
            continue;
        }
        if stream.read_buf(&mut held).await.unwrap_or(0) == 0 {
            if !held.is_empty() {
                let mut state = state.lock().expect("unpoisoned");
                state.arriving.clear();
                state.record.parts.push(held);
            }
            return Ok(());
        }
    }
}

/// How long the message is whose head ends here; `None` while it is not whole.
fn message_length(octets: &[u8], head: usize) -> Option<usize> {
    let text = String::from_utf8_lossy(&octets[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if field("transfer-encoding").is_some_and(|codings| codings.contains("chunked")) {
        return chunks(octets, head, |_| {});
    }
    let length = field("content-length").and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
    head.checked_add(length).filter(|end| *end <= octets.len())
}

/// The data of a whole chunked message, however it was cut into chunks; `None` for every other message.
pub fn chunked_data(message: &[u8]) -> Option<Vec<u8>> {
    let head = position(message, b"\r\n\r\n")? + 4;
    let mut data = Vec::new();
    chunks(message, head, |chunk| data.extend_from_slice(chunk))?;
    Some(data)
}

/// Gives each chunk's data from `at` on, and where the chunked body ends; `None` where it does not.
fn chunks(octets: &[u8], mut at: usize, mut each: impl FnMut(&[u8])) -> Option<usize> {
    loop {
        let line = position(&octets[at..], b"\r\n")?;
        let size = String::from_utf8_lossy(&octets[at..at + line]).into_owned();
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at += line + 2;
        if size == 0 {
            // Trailer fields, then an empty line.
            loop {
                let line = position(&octets[at..], b"\r\n")?;
                at += line + 2;
                if line == 0 {
                    return Some(at);
                }
            }
        }
        let end = at.checked_add(size)?.checked_add(2).filter(|end| *end <= octets.len())?;
        each(&octets[at..end - 2]);
        at = end;
    }
}

fn position(octets: &[u8], needle: &[u8]) -> Option<usize> {
    octets.windows(needle.len()).position(|window| window == needle)
}
