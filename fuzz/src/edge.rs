//! The parsers of the edge.

#[path = "../../gateway/src/edge/chunks.rs"]
mod chunks;
#[path = "../../gateway/src/edge/head.rs"]
mod head;
#[path = "../../gateway/src/edge/options.rs"]
mod options;
#[path = "../../gateway/src/edge/frames.rs"]
mod walker;

use chunks::Chunks;
use head::{Found, Framing, HeadLimits, check};
use walker::Walker;

/// Small, so that a fuzzer gets beyond them.
const LIMITS: HeadLimits = HeadLimits { octets: 2048, fields: 16, target: 256 };

/// The head check: what passes is read by the parser behind it (httparse, which Pingora uses) to the same octet, with the
/// same fields and one framing; the verdict depends neither on what follows the head nor on how it arrives.
pub fn head(octets: &[u8]) {
    match check(octets, &LIMITS) {
        Found::Whole { octets: length, framing } => {
            assert!(length <= LIMITS.octets && length <= octets.len());
            assert_eq!(
                check(&octets[..length], &LIMITS),
                Found::Whole { octets: length, framing },
                "what follows matters"
            );
            for end in [1, length / 3, length / 2, length - 2, length - 1] {
                assert_eq!(check(&octets[..end], &LIMITS), Found::Partial, "the first {end} octets of a good head");
            }
            read_alike(octets, length, framing);
        }
        Found::Partial => assert!(octets.len() <= LIMITS.octets, "waiting has a bound"),
        Found::Refused(refusal) => assert!(refusal.code.status().is_client_error() || refusal.code.status() == 501),
    }
}

fn read_alike(octets: &[u8], length: usize, framing: Framing) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(octets), Ok(httparse::Status::Complete(length)));
    let lines = octets[..length].iter().filter(|octet| **octet == b'\n').count();
    assert_eq!(request.headers.len(), lines - 2, "a line is a field");
    assert!(request.headers.len() <= LIMITS.fields);
    assert!(request.path.is_some_and(|target| target.len() <= LIMITS.target && !target.contains('#')));
    let of =
        |name: &str| request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>();
    assert!(of("host").len() <= 1 && of("content-length").len() <= 1 && of("transfer-encoding").len() <= 1);
    match framing {
        Framing::Chunked => {
            assert!(of("content-length").is_empty() && request.version == Some(1));
            assert!(of("transfer-encoding")[0].value.eq_ignore_ascii_case(b"chunked"));
        }
        Framing::Length(length) => {
            assert!(of("transfer-encoding").is_empty());
            let said = of("content-length").first().map(|field| String::from_utf8_lossy(field.value).parse());
            assert_eq!(said.unwrap_or(Ok(0)), Ok(length));
        }
    }
}

/// Chunk framing: pieces of any size are read like the whole, and a whole body ends where httparse ends it. The first octet
/// says how large the pieces are.
pub fn chunks(octets: &[u8]) {
    let Some((cut, body)) = octets.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let mut whole = Chunks::new();
    let passed = whole.advance(body);

    let (mut pieces, mut gone, mut arrived, mut refused) = (Chunks::new(), 0, 0, false);
    while arrived < body.len() && !refused {
        arrived = (arrived + cut).min(body.len());
        match pieces.advance(&body[gone..arrived]) {
            Ok(octets) => gone += octets,
            Err(_) => refused = true,
        }
    }
    assert_eq!(refused, passed.is_err(), "pieces of {cut} octets have another verdict");
    let Ok(passed) = passed else { return };
    assert_eq!((gone, pieces.is_done()), (passed, whole.is_done()));
    if whole.is_done() {
        assert_eq!(end_of_body(body), Some(passed), "httparse ends the body elsewhere");
    }
}

/// Where a chunked body ends, in the reading of httparse and with as little as possible of our own.
fn end_of_body(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(body.get(at..)?) else {
            return None;
        };
        at += line;
        if size == 0 {
            break;
        }
        at += usize::try_from(size).ok()?;
        assert_eq!(body.get(at..at + 2)?, b"\r\n");
        at += 2;
    }
    let mut fields = [httparse::EMPTY_HEADER; 4096];
    match httparse::parse_headers(body.get(at..)?, &mut fields) {
        Ok(httparse::Status::Complete((trailers, _))) => Some(at + trailers),
        _ => None,
    }
}

/// HTTP/2 frames: whatever the pieces, the same frames are found, and they follow each other without a gap.
pub fn frames(octets: &[u8]) {
    let Some((cut, frames)) = octets.split_first() else { return };
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    Walker::of_server().walk(frames, |head| whole.push(head));
    let mut walker = Walker::of_server();
    for piece in frames.chunks(usize::from(*cut).max(1)) {
        walker.walk(piece, |head| pieces.push(head));
    }
    assert_eq!(whole, pieces);
    let mut at = 0;
    for head in whole {
        let [a, b, c, kind, flags] = frames[at..at + 5] else { return };
        assert_eq!(
            (head.length, head.kind, head.flags),
            (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c), kind, flags)
        );
        at += 9 + head.length;
    }
    assert!(at + 9 > frames.len() || frames[at + 3] == walker::RST_STREAM, "a frame was passed over");
}
