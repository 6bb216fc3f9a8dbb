//! The successor's side. It runs before anything else does, so it may block, for a bounded time.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as begin, socket_with,
};

use crate::handover::{
    HandoverError, LONGEST_STEP,
    message::{AGREED, GIVEN_UP, KNOWN, READY, check_peer, receive, tcp_address, unix_path},
};

/// Successors that may wait to connect; only one is ever served.
const BACKLOG: i32 = 4;

/// A gateway that runs, and the sockets it has handed over so far to nobody but us.
#[derive(Debug)]
pub struct Predecessor {
    connection: UnixStream,
    path: PathBuf,
    sockets: Vec<OwnedFd>,
}

impl Predecessor {
    /// Asks whoever listens on this path for its sockets; `None` when nobody does.
    ///
    /// # Errors
    /// When somebody listens who does not hand them over: its addresses are taken, so there is no way to start.
    pub fn meet(path: &Path) -> Result<Option<Self>, HandoverError> {
        let received = connect_at_once(path).and_then(|connection| {
            check_peer(&connection)?;
            connection.set_nonblocking(false)?;
            connection.set_read_timeout(Some(LONGEST_STEP))?;
            connection.set_write_timeout(Some(LONGEST_STEP))?;
            let sockets = receive(&connection)?;
            Ok(Self { connection, path: path.to_owned(), sockets })
        });
        let failed = |source| Err(HandoverError { path: path.to_owned(), source });
        match received {
            Ok(predecessor) => Ok(Some(predecessor)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                io::ErrorKind::WouldBlock => {
                    failed(io::Error::other("it does not answer; is another upgrade under way?"))
                }
                _ => failed(error),
            },
        }
    }

    /// The socket that listens on this address, if it has one.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.sockets.iter().position(|socket| tcp_address(socket) == Some(address))?;
        Some(TcpListener::from(self.sockets.swap_remove(place)))
    }

    /// The Unix socket of this path, if it has one.
    pub fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let path = std::path::absolute(path).ok()?;
        let place = self.sockets.iter().position(|socket| unix_path(socket).as_ref() == Some(&path))?;
        Some(UnixListener::from(self.sockets.swap_remove(place)))
    }

    /// Tells it that we serve, then, with its consent, the service manager, and waits until it accepts nothing more. Sockets
    /// that nobody asked for are closed.
    ///
    /// # Errors
    /// When it has given us up before, and serves.
    pub fn relieve(mut self, tell_service_manager: impl FnOnce()) -> Result<(), HandoverError> {
        self.sockets.clear();
        let mut said = [0];
        // One that has given us up has closed the connection; what it said before is still there to be read.
        let _ = self.connection.write_all(&[READY]);
        let heard = read_octet(&mut self.connection, &mut said);
        if heard.is_ok_and(|octets| octets > 0) && said == [GIVEN_UP] {
            let source =
                io::Error::new(io::ErrorKind::TimedOut, "it did not wait longer than its server.upgrade_timeout");
            return Err(HandoverError { path: self.path, source });
        }
        tell_service_manager();
        // It closes the connection when it has let go. One that has died has let go, too; one that cannot move now finds
        // "ready" when it can.
        let released = self.connection.write_all(&[KNOWN]).and_then(|()| read_octet(&mut self.connection, &mut [0]));
        if said == [AGREED] && released.is_ok() {
            tracing::info!("the gateway before this one accepts nothing more; this one is alone");
        } else {
            tracing::warn!("the gateway before this one did not say that it has let go");
        }
        Ok(())
    }
}

/// Reads again when a signal got in between: with a time-out, the system does not (signal(7)).
fn read_octet(connection: &mut UnixStream, octet: &mut [u8; 1]) -> io::Result<usize> {
    loop {
        match connection.read(octet) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Connects now or not at all: where others wait already, one would wait for as long as they do.
fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// The socket on which successors are awaited. Nobody but its owner can ever connect to it.
///
/// # Errors
/// Those of the file system, and a path that somebody else listens on.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match connect_at_once(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        // Left by a process that has ended, unless it is no socket at all.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if !fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
            }
            fs::remove_file(path)?;
        }
        Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // What the kernel says of the socket must not depend on the folder that a process is in.
    bind(&socket, &SocketAddrUnix::new(std::path::absolute(path)?)?)?;
    // Before it listens nobody can connect, whatever the mode was until now.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    begin(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}
