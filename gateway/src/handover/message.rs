//! The one message that needs care: descriptors, as ancillary data beside one octet, the version of this protocol.
//!
//! The descriptors need no names: the kernel knows what each of them is and where it listens.

use std::{
    ffi::OsStr,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
};

use rustix::{
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketAddrUnix, getsockname, recvmsg, sendmsg, sockopt,
    },
    process::geteuid,
};

/// The version of the protocol.
const VERSION: u8 = 2;

/// What the successor says when it serves.
pub(super) const READY: u8 = b'R';

/// What the predecessor says to that: the successor is the gateway from now on.
pub(super) const AGREED: u8 = b'A';

/// What it says instead when its patience was over before: it is the gateway, and remains it.
pub(super) const GIVEN_UP: u8 = b'G';

/// What the successor says when the service manager knows of it, too.
pub(super) const KNOWN: u8 = b'K';

/// The most sockets that are handed over: two for clients, the admin listener, the upgrade socket, and room for more.
const MOST_SOCKETS: usize = 16;

/// The same in octets of ancillary data.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_SOCKETS));

/// Sends the sockets.
///
/// # Errors
/// Those of the system; `WouldBlock` on a connection that is not ready for it.
pub(super) fn send(connection: impl AsFd, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if sockets.len() > MOST_SOCKETS || !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other("more sockets than can be handed over"));
    }
    sendmsg(connection, &[IoSlice::new(&[VERSION])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the sockets.
///
/// # Errors
/// Those of the system, and a message that is not what [`send`] sends.
pub(super) fn receive(connection: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut version = [0];
    let received = recvmsg(connection, &mut [IoSliceMut::new(&mut version)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    if received.bytes == 0 {
        return Err(io::Error::other("it closed the connection"));
    }
    if version != [VERSION] {
        let [theirs] = version;
        let what =
            format!("it speaks version {theirs} of the hand-over, this one {VERSION}; restart instead of upgrading");
        return Err(io::Error::other(what));
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("it sent more sockets than can be taken"));
    }
    Ok(sockets)
}

/// Makes sure that the other end of a connection is a process of the same user.
///
/// # Errors
/// When it is not, and those of the system.
pub(super) fn check_peer(connection: impl AsFd) -> io::Result<()> {
    let peer = sockopt::socket_peercred(connection)?;
    if peer.uid == geteuid() {
        Ok(())
    } else {
        let user = peer.uid.as_raw();
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the other process is of another user ({user})")))
    }
}

/// Where a TCP socket listens; `None` for anything else.
pub(super) fn tcp_address(socket: &OwnedFd) -> Option<SocketAddr> {
    let listens = sockopt::socket_acceptconn(socket).is_ok_and(|listens| listens);
    SocketAddr::try_from(getsockname(socket).ok()?).ok().filter(|_| listens)
}

/// Where a Unix socket listens; `None` for anything else.
pub(super) fn unix_path(socket: &OwnedFd) -> Option<PathBuf> {
    let listens = sockopt::socket_acceptconn(socket).is_ok_and(|listens| listens);
    let address = SocketAddrUnix::try_from(getsockname(socket).ok()?).ok().filter(|_| listens)?;
    Some(PathBuf::from(OsStr::from_bytes(address.path_bytes()?)))
}
