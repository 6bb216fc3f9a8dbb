//! A relay in front of a replica of the API, which can be told to misbehave in its name.
//!
//! What is asked reaches the replica first, whatever the relay says afterwards: a request that the gateway sent twice is
//! done twice, and shows in the database. Health checks always pass, so that only answers can tell.

use std::{io, time::Duration};

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
    /// They are no HTTP.
    Garbage,
    /// None comes: the connection closes.
    Silence,
}

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
            Fault::None => stream.write_all(&answer).await?,
            Fault::Slow(late) => {
                sleep(late).await;
                stream.write_all(&answer).await?;
            }
            Fault::Error => stream.write_all(b"HTTP/1.1 500 broken\r\nContent-Length: 0\r\n\r\n").await?,
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
    let framing = ["transfer-encoding", "content-length"];
    let mut head = format!("{}\r\n", request.line);
    for (name, value) in request.fields.iter().filter(|(name, _)| !framing.contains(&name.as_str())) {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", request.body.len());
    behind.write_all(head.as_bytes()).await?;
    behind.write_all(&request.body).await?;
    let answer = read_answer(behind, request.line.starts_with("HEAD ")).await?;
    let mut octets = format!("HTTP/1.1 {} relayed\r\n", answer.status);
    for (name, value) in answer.fields.iter().filter(|(name, _)| !framing.contains(&name.as_str())) {
        octets += &format!("{name}: {value}\r\n");
    }
    octets += &format!("content-length: {}\r\n\r\n", answer.body.len());
    let mut octets = octets.into_bytes();
    octets.extend_from_slice(&answer.body);
    Ok(octets)
}
