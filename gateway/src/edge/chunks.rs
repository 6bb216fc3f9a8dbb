//! Chunk framing (RFC 9112 section 7.1), checked as it passes.
//!
//! A chunk-size line and a trailer field pass only once they are whole and well-formed; chunk data passes as it comes.
//! What a sender can hide in a size (signs, prefixes, overflow) or behind it (endless extensions) is refused.

use todo_shared::problem::Code;

use crate::edge::head::{Refusal, next_line, split_field, trim_start};

/// The longest line of a chunk's size with its extensions, in octets. Nobody sends extensions; attackers do.
const LONGEST_SIZE_LINE: usize = 256;
/// The largest trailer section, in octets.
const LARGEST_TRAILERS: usize = 8 << 10;
/// Fields that decide on framing, routing or identity have no place behind a body (RFC 9110 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 6] =
    ["transfer-encoding", "content-length", "host", "authorization", "content-encoding", "content-type"];

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

const fn malformed(reason: &'static str) -> Refusal {
    Refusal { code: Code::RequestMalformed, reason }
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
    let extension = trim_start(extension);
    let is_extension = extension.is_empty() || extension.starts_with(b";");
    // White space alone behind the size is no extension.
    let is_whole = is_extension && (extension.is_empty() == (line.len() == digits));
    if !is_whole || !extension.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~')) {
        return Err(malformed("a chunk extension is malformed (7.1.1)"));
    }
    std::str::from_utf8(size)
        .ok()
        .and_then(|size| u64::from_str_radix(size, 16).ok())
        .ok_or(malformed("a chunk size is not a number (7.1)"))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a body in one piece: how much passes and whether that is all of it.
    fn read(body: &[u8]) -> Result<(usize, bool), &'static str> {
        let mut chunks = Chunks::new();
        let passed = chunks.advance(body).map_err(|refusal| refusal.reason)?;
        Ok((passed, chunks.is_done()))
    }

    #[test]
    fn whole_bodies_pass_to_their_last_octet() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;x=\"y z\" ;w\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\n",
            "3 ;a\r\nabc\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(body.as_bytes()), Ok((body.len(), true)), "{body:?}");
            assert_eq!(
                read(format!("{body}GET /").as_bytes()),
                Ok((body.len(), true)),
                "{body:?} and the next request"
            );
        }
    }

    #[test]
    fn lines_wait_until_they_are_whole() {
        for (body, passed) in [("3", 0), ("3\r", 0), ("3\r\nab", 5), ("3\r\nabc\r", 6), ("0\r\nX: y\r\n\r", 9)] {
            assert_eq!(read(body.as_bytes()), Ok((passed, false)), "{body:?}");
        }
    }

    #[test]
    fn the_longest_line_may_come_in_any_pieces() {
        let body = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(LONGEST_SIZE_LINE - 2));
        let mut chunks = Chunks::new();
        let refused = (1..=body.len()).any(|end| {
            let mut chunks = Chunks::new();
            chunks.advance(&body.as_bytes()[..end]).is_err()
        });
        assert!(!refused && chunks.advance(body.as_bytes()).is_ok_and(|passed| passed == body.len()));
    }

    #[test]
    fn tricks_are_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\t\r\n",
            "1\u{c};a\r\n",
            "1a g\r\n",
            "1\n",
            "1\r2\r\n",
            "1000000000000000\r\n",
            "1;\u{0}\r\n",
            "1;\u{e9}\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\nab",
            "0\r\nX : y\r\n",
            "0\r\n X: y\r\n",
            "0\r\nContent-Length: 1\r\n",
            "0\r\nhost: a\r\n",
            "0\r\nX\r\n",
            "0\r\nX: y\n",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(read(format!("1;{}", "a".repeat(300)).as_bytes()).is_err(), "an endless extension");
        assert!(read(format!("0\r\nX: {}", "a".repeat(9000)).as_bytes()).is_err(), "endless trailers");
        assert!(read(format!("0\r\n{}", "X: y\r\n".repeat(3000)).as_bytes()).is_err(), "endless trailers");
    }

    proptest! {
        /// Cutting a body into pieces changes neither what passes nor the verdict.
        #[test]
        fn pieces_read_like_the_whole(
            data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
            spoil in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in 1_usize..9,
        ) {
            let mut body = Vec::new();
            for chunk in &data {
                body.extend_from_slice(format!("{:x};n=v\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\nT: v\r\n\r\n");
            if let Some((index, octet)) = spoil { let at = index.index(body.len()); body[at] = octet; }
            let whole = read(&body);
            let (mut chunks, mut passed, mut arrived) = (Chunks::new(), 0, 0);
            let pieces = loop {
                if arrived == body.len() { break Ok((passed, chunks.is_done())); }
                arrived = (arrived + cut).min(body.len());
                match chunks.advance(&body[passed..arrived]) {
                    Ok(octets) => passed += octets,
                    Err(refusal) => break Err(refusal.reason),
                }
            };
            prop_assert_eq!(pieces.is_err(), whole.is_err());
            if whole.is_ok() { prop_assert_eq!(pieces, whole); }
        }
    }
}
