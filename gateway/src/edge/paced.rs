//! A TCP connection on which a client cannot keep us waiting for longer than its pace allows.
//!
//! It stands beneath TLS, where progress is what the system took or gave, so that it holds alike for HTTP/1 and HTTP/2.
//! Writes always have a deadline: whatever is to be sent, a peer that takes none of it holds memory. Reads have one while
//! a body is awaited; how long a connection may be idle is not decided here. A time out is an error of that kind
//! ([`io::ErrorKind::TimedOut`]), and a read that is refused for it leaves the other direction as it was.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pingora_core::protocols::l4::stream::Stream as TcpStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::edge::pace::Pace;

/// One direction: its pace, and the timer that ends our patience. The timer is made when a client first keeps us waiting.
#[derive(Debug)]
struct Direction {
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Direction {
    /// Passes a result on, and cuts what takes too long.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        octets: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let now = || Instant::now().into_std();
        match &result {
            Poll::Pending => {
                if let Some(deadline) = self.pace.wait(now) {
                    let deadline = Instant::from_std(deadline);
                    match &mut self.timer {
                        Some(timer) => timer.as_mut().reset(deadline),
                        None => self.timer = Some(Box::pin(sleep_until(deadline))),
                    }
                }
                let is_late = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
                if is_late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
            }
            Poll::Ready(Ok(value)) => {
                self.pace.progress(octets(value), now);
                result
            }
            Poll::Ready(Err(_)) => result,
        }
    }
}

/// A connection with a pace.
#[derive(Debug)]
pub(crate) struct Paced {
    tcp: TcpStream,
    reading: Direction,
    writing: Direction,
    awaits_body: bool,
}

impl Paced {
    /// A client may be as slow as `reading` where a body is awaited, and as `writing` in taking what is sent.
    pub(crate) const fn new(tcp: TcpStream, reading: Pace, writing: Pace) -> Self {
        Self {
            tcp,
            reading: Direction { pace: reading, timer: None },
            writing: Direction { pace: writing, timer: None },
            awaits_body: false,
        }
    }

    /// Whether the client owes us the rest of a body.
    pub(crate) const fn await_body(&mut self, awaits: bool) {
        if self.awaits_body && !awaits {
            self.reading.pace.forgive();
        }
        self.awaits_body = awaits;
    }

    /// The connection itself.
    pub(crate) const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if !self.awaits_body {
            return result;
        }
        self.reading.judge(context, result, |()| buffer.filled().len() - before)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write(context, octets);
        self.writing.judge(context, result, |written| *written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.tcp).poll_flush(context);
        self.writing.judge(context, result, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.tcp).poll_shutdown(context);
        self.writing.judge(context, result, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.writing.judge(context, result, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
