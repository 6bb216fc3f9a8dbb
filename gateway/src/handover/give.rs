//! The predecessor's side.

use std::{
    io,
    net::TcpListener,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixListener,
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::UnixStream,
    time::{sleep, timeout},
};

use crate::handover::{
    LONGEST_STEP,
    message::{AGREED, GIVEN_UP, READY, check_peer, send},
};

/// The sockets that a successor gets, and the one on which it is awaited.
#[derive(Debug)]
pub struct Offer {
    awaited_on: UnixListener,
    sockets: Vec<TcpListener>,
}

/// A successor that serves: it learns that it is alone when this is dropped.
#[derive(Debug)]
pub struct Relieved {
    _connection: UnixStream,
}

impl Offer {
    /// Offers these sockets on this one.
    ///
    /// # Errors
    /// When the system has no more descriptors: the sockets are held twice.
    pub fn new<'a>(awaited_on: UnixListener, sockets: impl IntoIterator<Item = &'a TcpListener>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        awaited_on.set_nonblocking(true)?;
        Ok(Self { awaited_on, sockets })
    }

    /// Waits for a successor that serves, however many fail before it. Each has as long as `patience` says when it comes;
    /// `agree` learns of the consent before the successor does, and of a successor that ended in spite of it.
    pub async fn until_relieved(self, patience: impl Fn() -> Duration, agree: impl Fn(bool)) -> Relieved {
        let listener = self.awaited_on.try_clone().and_then(tokio::net::UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the upgrade socket cannot be used; there is no upgrade without a restart");
                return std::future::pending().await;
            }
        };
        loop {
            let given = match listener.accept().await {
                Ok((connection, _)) => self.give(connection, patience(), &agree).await,
                // Out of descriptors, most likely: not for ever.
                Err(error) => {
                    sleep(LONGEST_STEP).await;
                    Err(error)
                }
            };
            match given {
                Ok(relieved) => return relieved,
                Err(error) => {
                    agree(false);
                    tracing::warn!(%error, "no upgrade: the successor did not get to serve; all goes on as before");
                }
            }
        }
    }

    async fn give(&self, mut connection: UnixStream, patience: Duration, agree: impl Fn(bool)) -> io::Result<Relieved> {
        check_peer(&connection)?;
        let sockets: Vec<BorrowedFd<'_>> =
            self.sockets.iter().map(TcpListener::as_fd).chain([self.awaited_on.as_fd()]).collect();
        let sent = connection.async_io(Interest::WRITABLE, || send(&connection, &sockets));
        timeout(LONGEST_STEP, sent).await??;
        tracing::info!("a successor has the listening sockets and starts");
        let Ok(said) = timeout(patience, connection.read_u8()).await else {
            // It may only be held up, and would serve beside this process as soon as it goes on.
            connection.write_u8(GIVEN_UP).await?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it took longer than server.upgrade_timeout"));
        };
        match said {
            Ok(READY) => {}
            Ok(_) => return Err(io::Error::other("it said something else than that it is ready")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let what = "it ended; its log says why (if it is of another version, restart instead of upgrading)";
                return Err(io::Error::other(what));
            }
            Err(error) => return Err(error),
        }
        // A service manager that did not know of the successor when this process ends would take the service for ended. One
        // that goes on without our consent has said that much already.
        agree(true);
        let _ = connection.write_u8(AGREED).await;
        match timeout(LONGEST_STEP, connection.read_u8()).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(io::Error::other("it ended")),
            Err(_) => tracing::warn!("the successor did not say in time that the service manager knows of it"),
        }
        Ok(Relieved { _connection: connection })
    }
}
