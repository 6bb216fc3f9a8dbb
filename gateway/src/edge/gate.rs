//! The gate: stands between a connection and Pingora, and lets through exactly one request at a time.
//!
//! Pingora reads a body as far as its own parser goes and probes an idle connection for one octet more. Behind the gate
//! it finds this request's body and then nothing, so what follows (a pipelined request) is never touched by anything
//! but our head check, and chunk framing has been checked before Pingora's reader sees it.
//!
//! The file is as long as it is because Pingora wants seven traits of a connection; the gate itself is its first half.

use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::Handle,
    time::timeout,
};

use crate::edge::{Closed, age::Age, chunks::Chunks, head::Framing, stream::EdgeStream};

/// How much of later requests is held while one is served, in octets.
pub(super) const MOST_HELD: usize = 64 << 10;
/// How long and how much a connection is read on after an answer that came before the whole request, so that the answer
/// is not lost to a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGERED: usize = 256 << 10;

/// What is left of the request that Pingora works on.
#[derive(Debug)]
enum Body {
    Length(u64),
    Chunked(Chunks),
}

/// A connection of which one request is visible.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `None` only while it is being dropped.
    io: Option<EdgeStream>,
    /// What has been read from the connection and not been passed on.
    held: BytesMut,
    /// How many octets at the front of `held` may pass.
    passable: usize,
    body: Body,
    age: Age,
}

impl Gate {
    pub(crate) fn new(io: EdgeStream) -> Self {
        Self { io: Some(io), held: BytesMut::new(), passable: 0, body: Body::Length(0), age: Age::default() }
    }

    /// What has arrived and belongs to no request yet.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Drops one empty line at the front; false where there is none.
    pub(crate) fn skip_empty_line(&mut self) -> bool {
        let is_empty_line = self.held.starts_with(b"\r\n");
        if is_empty_line {
            self.held.advance(2);
        }
        is_empty_line
    }

    /// Waits for more octets; zero at the end of the connection.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        match &mut self.io {
            Some(io) => {
                io.await_body(false);
                self.held.reserve(2048);
                io.read_buf(&mut self.held).await
            }
            None => Ok(0),
        }
    }

    /// Takes a head of this many octets and opens the gate for the body that follows it.
    pub(crate) fn open(&mut self, octets: usize, framing: Framing) -> BytesMut {
        self.body = match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::new()),
        };
        self.held.split_to(octets.min(self.held.len()))
    }

    /// When whatever the connection carries has to be over.
    pub(crate) const fn age(&mut self) -> &mut Age {
        &mut self.age
    }

    /// Whether the request has been read to its end, so that another may follow.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.passable == 0 && self.body_is_done()
    }

    fn body_is_done(&self) -> bool {
        match &self.body {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.is_done(),
        }
    }

    /// Sends a last answer and closes, reading on for a while so that it arrives.
    pub(crate) async fn answer_and_close(mut self, answer: &[u8]) {
        if let Some(mut io) = self.io.take()
            && let Ok(Ok(())) = timeout(LINGER, io.write_all(answer)).await
        {
            linger(io).await;
        }
    }

    /// Closes without a word. Nothing that was sent is unread, or nobody cares.
    pub(crate) async fn close(mut self) {
        if let Some(mut io) = self.io.take() {
            let _ = timeout(LINGER, AsyncWriteExt::shutdown(&mut io)).await;
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        self.held.reserve(2048);
        pin!(io.read_buf(&mut self.held)).poll(context)
    }

    /// Reads straight into the reader's buffer, no more than `most`.
    fn poll_through(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let before = buffer.filled().len();
        ready!(pin!(io.take(most)).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        Poll::Ready(Ok(read as u64))
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_request(context, buffer);
        if read.is_pending() && self.age.is_over(context) {
            if let Some(io) = &self.io {
                io.info().cut(Closed::AgeLimit);
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl Gate {
    /// Reads what is left of the request, and later ones into `held`.
    fn poll_request(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self;
        loop {
            if gate.passable > 0 {
                let octets = gate.held.split_to(gate.passable.min(buffer.remaining()).min(gate.held.len()));
                gate.passable -= octets.len();
                buffer.put_slice(&octets);
                return Poll::Ready(Ok(()));
            }
            let body_is_done = gate.body_is_done();
            if let Some(io) = &mut gate.io {
                io.await_body(!body_is_done);
            }
            if body_is_done {
                // Later requests wait in `held`, up to a bound; with that full nobody needs to be woken, since only
                // the answer to this request can make room. The end of the connection is passed on.
                if gate.held.len() >= MOST_HELD {
                    return Poll::Pending;
                }
                if ready!(gate.poll_fill(context))? == 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match &mut gate.body {
                Body::Length(left) if !gate.held.is_empty() => {
                    gate.passable = gate.held.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= gate.passable as u64;
                }
                Body::Length(left) => {
                    let most = *left;
                    let read = ready!(gate.poll_through(context, buffer, most))?;
                    gate.body = Body::Length(most.saturating_sub(read));
                    return Poll::Ready(Ok(()));
                }
                Body::Chunked(chunks) if gate.held.is_empty() && chunks.data_left() > 0 => {
                    let most = chunks.data_left();
                    let read = ready!(gate.poll_through(context, buffer, most))?;
                    if let Body::Chunked(chunks) = &mut gate.body {
                        chunks.data_passed(read);
                    }
                    return Poll::Ready(Ok(()));
                }
                Body::Chunked(chunks) => {
                    gate.passable = chunks
                        .advance(&gate.held)
                        .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal.reason))?;
                    if gate.passable == 0 && ready!(gate.poll_fill(context))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_write(context, octets),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_write_vectored(context, slices),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

/// Pingora drops a connection whose request it gave up on. What the client still sends is read for a while, or the
/// system would answer it with a reset that overtakes our last answer.
impl Drop for Gate {
    fn drop(&mut self) {
        let is_clean = self.is_between_requests() && self.held.is_empty();
        if let (Some(io), false, Ok(runtime)) = (self.io.take(), is_clean, Handle::try_current()) {
            runtime.spawn(linger(io));
        }
    }
}

/// Closes our half, then reads and forgets what comes, within bounds.
async fn linger(mut io: EdgeStream) {
    // The request was given up: its pace is no question any more.
    io.await_body(false);
    let _ = timeout(LINGER, async {
        AsyncWriteExt::shutdown(&mut io).await?;
        let (mut sink, mut total) = (vec![0; 8 << 10], 0);
        while total < MOST_LINGERED {
            match io.read(&mut sink).await? {
                0 => break,
                read => total += read,
            }
        }
        Ok::<_, io::Error>(())
    })
    .await;
}

#[async_trait]
impl Shutdown for Gate {
    async fn shutdown(&mut self) {
        // Dropping does it, with the patience that the state of the request asks for.
        if self.is_between_requests() {
            let _ = AsyncWriteExt::shutdown(self).await;
        }
    }
}

impl UniqueID for Gate {
    fn id(&self) -> UniqueIDType {
        self.io.as_ref().map_or(0, UniqueID::id)
    }
}

impl Ssl for Gate {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.as_ref().and_then(Ssl::get_ssl_digest)
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.as_ref().and_then(Ssl::selected_alpn_proto)
    }
}

impl GetTimingDigest for Gate {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.as_ref().map(GetTimingDigest::get_timing_digest).unwrap_or_default()
    }
}

impl GetProxyDigest for Gate {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.io.as_ref().and_then(GetProxyDigest::get_proxy_digest)
    }
}

impl GetSocketDigest for Gate {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.as_ref().and_then(GetSocketDigest::get_socket_digest)
    }
}

impl Peek for Gate {}
