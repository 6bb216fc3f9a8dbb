//! Ports are taken before anything runs, and handed to Pingora.
//!
//! Left to itself Pingora tries a taken port thirty times, a second each, and then panics; and it takes its ports some time
//! after the admin listener already says that the gateway is ready. Sockets that are bound and listening from the start
//! mend both: a taken port is one sentence, and who connects before the first accept waits for it. Pingora looks for
//! sockets of an address in the table through which a process hands them to its successor; ours go there.

use std::{io, net::TcpListener, os::fd::IntoRawFd as _};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{
    apps::ServerApp,
    server::{ListenFds, ShutdownWatch},
    services::{self, listening::Service},
};

/// A listening service over sockets that are bound already.
pub struct Bound<A> {
    service: Service<A>,
    sockets: Mutex<Vec<(String, TcpListener)>>,
}

impl<A: ServerApp + Send + Sync + 'static> Bound<A> {
    /// Serves connections of these sockets.
    ///
    /// # Errors
    /// Those of the sockets.
    pub fn new(mut service: Service<A>, sockets: Vec<TcpListener>) -> io::Result<Self> {
        let mut named = Vec::new();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?.to_string();
            service.add_tcp(&address);
            named.push((address, socket));
        }
        Ok(Self { service, sockets: Mutex::new(named) })
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> services::Service for Bound<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            let mut table = fds.lock();
            for (address, socket) in self.sockets.get_mut().drain(..) {
                table.add(address, socket.into_raw_fd());
            }
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}
