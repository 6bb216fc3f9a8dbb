//! An origin whose answers the case writes itself, octet by octet, when it pleases.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::{origin::ok, raw::PATIENCE};

/// A running origin; it ends with its handle.
#[derive(Debug)]
pub struct Stage {
    /// Where it listens.
    pub port: u16,
    requests: mpsc::Receiver<TcpStream>,
    task: JoinHandle<()>,
}

impl Stage {
    /// Starts an origin that leaves every request but health checks (`/readyz`) to the case.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (sender, requests) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hand_over(stream, sender.clone()));
            }
        });
        Ok(Self { port, requests, task })
    }

    /// The connection of the next request, whose head has been read.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    pub async fn request(&mut self) -> TcpStream {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request in time").expect("the origin is running")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_over(mut stream: TcpStream, requests: mpsc::Sender<TcpStream>) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        while !held.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        }
        if !held.starts_with(b"GET /readyz ") {
            break;
        }
        held.clear();
        stream.write_all(ok("ready").as_bytes()).await?;
    }
    // A case that is over takes no more requests.
    let _ = requests.send(stream).await;
    Ok(())
}
