//! A relay in front of a replica of the API, which can be told to misbehave in its name.
//!
//! What is asked reaches the replica first, whatever the relay says afterwards: a request that the gateway sent twice is
//! done twice, and shows in the database. Health checks always pass, so that only answers can tell.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    origin::{Request, read_request},
    raw::read_answer,
};

/// What a relay does to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: they pass.
    None,
    /// Nobody listens, and all connections are closed.
    Dead,
    /// They come this much later.
    Slow(Duration),
    /// They are 500.
    Error,
    /// Every second one is 500.
    Half,
    /// They break off after their head.
    Cut,
    /// They are no HTTP.
    Garbage,
    /// None comes: the connection closes.
    Silence,
}

/// Answers that a relay spoils by halves, over all relays.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// A running relay; it ends with its handle.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    fault: watch::Sender<Fault>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay before this port.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn before(api: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (fault, told) = watch::channel(Fault::None);
        let task = tokio::spawn(run(listener, port, api, told));
        Ok(Self { port, fault, task })
    }

    /// From now on it does this.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(listener: TcpListener, port: u16, api: u16, mut fault: watch::Receiver<Fault>) {
    let (mut listener, told) = (Some(listener), fault.clone());
    loop {
        let listening = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", port)).await.expect("its own port"),
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listening.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(serve(stream, api, told.clone()));
                    }
                }
                dead = fault.wait_for(|fault| *fault == Fault::Dead) => {
                    if dead.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        drop((listening, connections));
        if fault.wait_for(|fault| *fault != Fault::Dead).await.is_err() {
            return;
        }
    }
}

/// Ends when either side does, or cannot be understood.
async fn serve(mut stream: TcpStream, api: u16, fault: watch::Receiver<Fault>) -> io::Result<()> {
    let mut behind = TcpStream::connect(("127.0.0.1", api)).await?;
    let mut held = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut held).await? {
        let answer = ask(&mut behind, &request).await?;
        let fault = if request.target() == "/readyz" { Fault::None } else { *fault.borrow() };
        match fault {
            Fault::Half if ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => stream.write_all(&answer).await?,
            Fault::None => stream.write_all(&answer).await?,
            Fault::Slow(late) => {
                sleep(late).await;
                stream.write_all(&answer).await?;
            }
            Fault::Error | Fault::Half => stream.write_all(b"HTTP/1.1 500 broken\r\nContent-Length: 0\r\n\r\n").await?,
            Fault::Cut => {
                let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default();
                return stream.write_all(&answer[..head + 4]).await;
            }
            Fault::Garbage => {
                stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await?;
                return Ok(());
            }
            Fault::Dead | Fault::Silence => return Ok(()),
        }
    }
    Ok(())
}

async fn ask(behind: &mut TcpStream, request: &Request) -> io::Result<Vec<u8>> {
    let head = head(&request.line, &request.fields, request.body.len());
    behind.write_all(&[head.as_bytes(), &request.body].concat()).await?;
    let answer = read_answer(behind, request.line.starts_with("HEAD ")).await?;
    let line = format!("HTTP/1.1 {} relayed", answer.status);
    Ok([self::head(&line, &answer.fields, answer.body.len()).as_bytes(), &answer.body].concat())
}

/// A head with this first line, whose body has this length.
fn head(line: &str, fields: &[(String, String)], length: usize) -> String {
    let fields = fields.iter().filter(|(name, _)| !["transfer-encoding", "content-length"].contains(&name.as_str()));
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{}content-length: {length}\r\n\r\n", fields.concat())
}
