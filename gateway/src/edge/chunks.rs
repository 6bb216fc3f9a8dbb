//! Chunk framing (RFC 9112 section 7.1), checked as it passes.
//!
//! A chunk-size line and a trailer field pass only once they are whole and well-formed; chunk data passes as it comes.
//! What a sender can hide in a size (signs, prefixes, overflow) or behind it (endless extensions) is refused.
//!
//! [`Chunks::advance`] is the entry: pure, of the octets and of what it was given before.

use crate::edge::head::{Refusal, is_token, malformed, next_line, split_field, trim_start};

/// The longest line of a chunk's size with its extensions, in octets. Nobody sends extensions; attackers do.
const LONGEST_SIZE_LINE: usize = 256;
/// The largest trailer section, in octets.
const LARGEST_TRAILERS: usize = 8 << 10;
/// Fields that decide on framing, routing, identity, conditions or the reading of the content have no place behind a body
/// (RFC 9110 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 26] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "proxy-authorization",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-request-id",
];

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    Data(u64),
    DataEnd,
    Trailers { octets: usize },
    Done,
}

/// The reader of one chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
}

impl Chunks {
    /// At the start of a body.
    pub(super) const fn new() -> Self {
        Self { place: Place::Size }
    }

    /// Whether the last octet of the body has passed.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    /// How many octets of chunk data may pass without a look at them.
    pub(super) const fn data_left(&self) -> u64 {
        match self.place {
            Place::Data(left) => left,
            _ => 0,
        }
    }

    /// Counts chunk data that has passed.
    pub(super) const fn data_passed(&mut self, octets: u64) {
        if let Place::Data(left) = self.place {
            let left = left.saturating_sub(octets);
            self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
        }
    }

    /// How many of these octets may pass, from the first on. The rest waits for more to arrive.
    pub(super) fn advance(&mut self, octets: &[u8]) -> Result<usize, Refusal> {
        let mut rest = octets;
        while !rest.is_empty() && !self.is_done() {
            match self.place {
                Place::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    rest = rest.get(here..).unwrap_or_default();
                    self.data_passed(here as u64);
                }
                Place::DataEnd => match rest.strip_prefix(b"\r\n") {
                    Some(after) => (self.place, rest) = (Place::Size, after),
                    None if rest == b"\r" => break,
                    None => return Err(malformed("chunk data without its CRLF (7.1)")),
                },
                Place::Size => {
                    let Some(line) = line(&mut rest, LONGEST_SIZE_LINE, "a chunk-size line is too long (7.1.1)")?
                    else {
                        break;
                    };
                    self.place = match read_size(line)? {
                        0 => Place::Trailers { octets: 0 },
                        size => Place::Data(size),
                    };
                }
                Place::Trailers { octets } => {
                    let Some(line) = line(&mut rest, LARGEST_TRAILERS, "the trailers are too large (7.1.2)")? else {
                        break;
                    };
                    let octets = octets + line.len();
                    self.place = if line.is_empty() { Place::Done } else { Place::Trailers { octets } };
                    check_trailer(line, octets)?;
                }
                Place::Done => {}
            }
        }
        Ok(octets.len() - rest.len())
    }
}

/// Refuses a body by what has arrived of it together with its head, so that nothing of the request gets any further. What
/// comes later is checked when it comes; the API then sees a request that does not end.
pub(super) fn look_ahead(octets: &[u8]) -> Result<(), Refusal> {
    Chunks::new().advance(octets).map(drop)
}

fn line<'a>(rest: &mut &'a [u8], longest: usize, too_long: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
    let waiting = rest.len();
    match next_line(rest)? {
        Some(line) if line.len() <= longest => Ok(Some(line)),
        // The CR may be there already.
        None if waiting <= longest + 1 => Ok(None),
        _ => Err(malformed(too_long)),
    }
}

/// `chunk-size [ chunk-ext ]`: one to fifteen hexadecimal digits, so that no recipient's integer overflows.
fn read_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    if !(1..=15).contains(&digits) {
        return Err(malformed("a chunk size is not a number (7.1)"));
    }
    if !is_extensions(extension) {
        return Err(malformed("a chunk extension is malformed (7.1.1)"));
    }
    std::str::from_utf8(size)
        .ok()
        .and_then(|size| u64::from_str_radix(size, 16).ok())
        .ok_or(malformed("a chunk size is not a number (7.1)"))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS ( token / quoted-string ) ] )`
fn is_extensions(octets: &[u8]) -> bool {
    let mut rest = octets;
    while !rest.is_empty() {
        let Some(after) = trim_start(rest).strip_prefix(b";") else { return false };
        let (name, after) = split_token(trim_start(after));
        if name.is_empty() {
            return false;
        }
        rest = after;
        if let Some(after) = trim_start(after).strip_prefix(b"=") {
            let after = trim_start(after);
            let value = match after.strip_prefix(b"\"") {
                Some(quoted) => skip_quoted(quoted),
                None => match split_token(after) {
                    (value, after) if !value.is_empty() => Some(after),
                    _ => None,
                },
            };
            let Some(after) = value else { return false };
            rest = after;
        }
    }
    true
}

fn split_token(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = octets.iter().position(|octet| !is_token(&[*octet])).unwrap_or(octets.len());
    octets.split_at(end)
}

/// What follows the closing quote of a `quoted-string` (RFC 9110 5.6.4), whose opening one is read.
fn skip_quoted(octets: &[u8]) -> Option<&[u8]> {
    let mut rest = octets;
    loop {
        let (octet, after) = rest.split_first()?;
        rest = match octet {
            b'"' => return Some(after),
            b'\\' => match after.split_first()? {
                (b'\t' | b' '..=b'~', after) => after,
                _ => return None,
            },
            b'\t' | b' '..=b'~' => after,
            _ => return None,
        };
    }
}

fn check_trailer(line: &[u8], octets: usize) -> Result<(), Refusal> {
    if octets > LARGEST_TRAILERS {
        return Err(malformed("the trailers are too large (7.1.2)"));
    }
    if line.is_empty() {
        return Ok(());
    }
    let (name, _) = split_field(line)?;
    if FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes())) {
        return Err(malformed("a field that must not be a trailer (RFC 9110 6.5.1)"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
