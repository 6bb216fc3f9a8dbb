//! HTTP/2 frame by frame (RFC 9113), for what a client library would never send.
//!
//! Nothing is checked and nothing is done by itself: no acknowledgement, no window update, no GOAWAY. A field block is
//! literals without Huffman coding (RFC 7541 section 6.2.2). Of an answer's fields only the status is decoded, which the
//! gateway writes first; the dynamic table is switched off, so that each block stands alone.

use std::{io, path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::raw::{PATIENCE, connect_tls, tls_config};

/// What every connection begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub mod kind {
    #![expect(missing_docs, reason = "the names are the RFC's")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the names are the RFC's")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// Error codes of GOAWAY and `RST_STREAM` (RFC 9113 section 7).
pub mod code {
    #![expect(missing_docs, reason = "the names are the RFC's")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame, as it is on the wire or as it should never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type; see [`kind`].
    pub kind: u8,
    /// Its flags; see [`flag`].
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What follows the frame's head.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// HEADERS with a whole field block; `end` when nothing follows on the stream.
    pub fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Self {
        let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
        Self::new(kind::HEADERS, flags, stream, field_block(fields))
    }

    /// HEADERS of a GET of `localhost` that ends its stream.
    pub fn get(stream: u32, path: &str) -> Self {
        Self::headers(stream, &request("GET", path), true)
    }

    /// DATA; `end` when nothing follows on the stream.
    pub fn data(stream: u32, octets: &[u8], end: bool) -> Self {
        Self::new(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, octets)
    }

    /// SETTINGS of these identifiers and values (RFC 9113 section 6.5.2).
    pub fn settings(values: &[(u16, u32)]) -> Self {
        let payload = values.iter().flat_map(|(name, value)| {
            let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
            name.into_iter().chain(value)
        });
        Self::new(kind::SETTINGS, 0, 0, payload.collect::<Vec<_>>())
    }

    /// `RST_STREAM`.
    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// PING.
    pub fn ping() -> Self {
        Self::new(kind::PING, 0, 0, [7; 8])
    }

    /// `WINDOW_UPDATE`.
    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// PRIORITY, which RFC 9113 deprecates.
    pub fn priority(stream: u32, depends_on: u32) -> Self {
        let mut payload = depends_on.to_be_bytes().to_vec();
        payload.push(16);
        Self::new(kind::PRIORITY, 0, stream, payload)
    }

    /// The frame's octets.
    ///
    /// # Panics
    /// When the payload is longer than a length can say.
    pub fn octets(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a length").to_be_bytes();
        assert_eq!(length[0], 0, "a length has 24 bits");
        let mut octets = length[1..].to_vec();
        octets.extend([self.kind, self.flags]);
        octets.extend(self.stream.to_be_bytes());
        octets.extend(&self.payload);
        octets
    }

    /// The error code that GOAWAY or `RST_STREAM` says.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let octets = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(octets.try_into().ok()?))
    }

    /// The status that HEADERS of an answer says.
    pub fn status(&self) -> Option<u16> {
        if self.kind == kind::HEADERS { status(&self.payload) } else { None }
    }

    /// Whether nothing follows on its stream.
    pub const fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
            || self.kind == kind::RST_STREAM
    }
}

/// The pseudo-header fields of a request to `localhost`.
pub const fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
}

/// A field block of literals, which nobody need remember.
pub fn field_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, 0, 7, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer in a prefix of this many bits, the others of its octet being `first` (RFC 7541 section 5.1).
pub fn integer(block: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    let octet = |value: usize| u8::try_from(value).expect("an octet");
    if value < most {
        block.push(first | octet(value));
        return;
    }
    block.push(first | octet(most));
    let mut rest = value - most;
    while rest >= 128 {
        block.push(octet(rest % 128) | 128);
        rest /= 128;
    }
    block.push(octet(rest));
}

/// The status at the beginning of a field block: an indexed field, or a literal whose name is indexed.
fn status(block: &[u8]) -> Option<u16> {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    const FIRST: u8 = 8;
    // A change of the table's size may stand first.
    let begin = block.iter().position(|octet| octet & 0b1110_0000 != 0b0010_0000)?;
    let (first, rest) = block[begin..].split_first()?;
    if first & 0x80 != 0 {
        return STATIC.get(usize::from((first & 0x7f).checked_sub(FIRST)?)).copied();
    }
    let (length, rest) = rest.split_first()?;
    let value = rest.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    // Huffman: 0, 1 and 2 have five bits, the other digits six (RFC 7541 appendix B).
    let bits: Vec<u16> =
        value.iter().flat_map(|octet| (0..8).rev().map(move |bit| u16::from(octet >> bit & 1))).collect();
    let number = |bits: &[u16]| bits.iter().fold(0, |number, bit| 2 * number + bit);
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = number(bits.get(at..at + 5)?);
        let (digit, length) = if short < 3 { (short, 5) } else { (number(bits.get(at..at + 6)?) - 0b01_0110, 6) };
        status = 10 * status + digit;
        at += length;
    }
    Some(status)
}

/// What came of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status of the answer; 0 where there was none.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// The code that reset the stream.
    pub reset: Option<u32>,
    /// The code of a GOAWAY that came meanwhile.
    pub goaway: Option<u32>,
    /// Whether the connection ended.
    pub is_over: bool,
}

/// A connection over TLS.
#[derive(Debug)]
pub struct Http2 {
    stream: TlsStream<TcpStream>,
    held: Vec<u8>,
}

impl Http2 {
    /// Shakes hands with `localhost` and says nothing yet.
    ///
    /// # Errors
    /// Those of the connection and the handshake.
    pub async fn silent(ca: &Path, port: u16) -> io::Result<Self> {
        let config = Arc::new(tls_config(ca, &["h2"])?);
        Ok(Self { stream: connect_tls(config, port, "localhost").await?, held: Vec::new() })
    }

    /// Shakes hands, then sends the preface and SETTINGS that switch the dynamic table off.
    ///
    /// # Errors
    /// Those of the connection and the handshake.
    pub async fn connect(ca: &Path, port: u16) -> io::Result<Self> {
        Self::connect_with(ca, port, &[]).await
    }

    /// As [`Self::connect`], with more settings.
    ///
    /// # Errors
    /// Those of the connection and the handshake.
    pub async fn connect_with(ca: &Path, port: u16, settings: &[(u16, u32)]) -> io::Result<Self> {
        const HEADER_TABLE_SIZE: u16 = 1;
        let mut http2 = Self::silent(ca, port).await?;
        let settings: Vec<_> = [(HEADER_TABLE_SIZE, 0)].into_iter().chain(settings.iter().copied()).collect();
        http2.write(&[PREFACE, &Frame::settings(&settings).octets()].concat()).await?;
        Ok(http2)
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.write(&frame.octets()).await
    }

    /// The next frame; `None` at the connection's end, however it came.
    ///
    /// # Errors
    /// When none comes within [`PATIENCE`].
    pub async fn read(&mut self) -> io::Result<Option<Frame>> {
        let frame = timeout(PATIENCE, async {
            loop {
                if let Some(frame) = self.held_frame() {
                    return Some(frame);
                }
                if !matches!(self.stream.read_buf(&mut self.held).await, Ok(1..)) {
                    return None;
                }
            }
        });
        frame.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no frame came"))
    }

    fn held_frame(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.held.get(..9)?.try_into().ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let end = 9 + usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let payload = self.held.get(9..end)?.to_vec();
        self.held.drain(..end);
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & (u32::MAX >> 1), payload })
    }

    /// Reads until a frame of this type comes; `None` when the connection ends before.
    ///
    /// # Errors
    /// When no frame comes within [`PATIENCE`].
    pub async fn read_until(&mut self, kind: u8) -> io::Result<Option<Frame>> {
        while let Some(frame) = self.read().await? {
            if frame.kind == kind {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Reads until this stream or the connection ends. What comes on other streams is lost.
    ///
    /// # Errors
    /// When no frame comes within [`PATIENCE`].
    pub async fn outcome(&mut self, stream: u32) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        loop {
            let Some(frame) = self.read().await? else {
                outcome.is_over = true;
                return Ok(outcome);
            };
            if frame.kind == kind::GOAWAY {
                outcome.goaway = frame.code();
            }
            if frame.stream != stream || stream == 0 {
                continue;
            }
            match frame.kind {
                kind::HEADERS => outcome.status = frame.status().unwrap_or(outcome.status),
                kind::DATA => outcome.body.extend(&frame.payload),
                kind::RST_STREAM => outcome.reset = frame.code(),
                _ => {}
            }
            if frame.ends_stream() {
                return Ok(outcome);
            }
        }
    }

    /// The code of the GOAWAY with which the connection ends; `None` where it ends without one.
    ///
    /// # Errors
    /// When neither a frame nor the end comes within [`PATIENCE`].
    pub async fn end(&mut self) -> io::Result<Option<u32>> {
        Ok(self.outcome(0).await?.goaway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_however_it_is_written() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8d]), Some(404));
        assert_eq!(status(b"\x48\x03421"), Some(421));
        // 503 = 011011 00000 011001, then padding of ones.
        assert_eq!(status(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), Some(503));
        assert_eq!(status(&[]), None);
    }

    #[test]
    fn integers_and_frames_are_written_as_the_rfcs_show_them() {
        let mut block = Vec::new();
        integer(&mut block, 0, 5, 1337);
        assert_eq!(block, [31, 154, 10], "RFC 7541 appendix C.1.2");
        assert_eq!(Frame::reset(3, code::CANCEL).octets(), [0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8]);
        assert_eq!(field_block(&[("a", "bc")]), [0, 1, b'a', 2, b'b', b'c']);
    }
}
