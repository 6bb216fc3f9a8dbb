//! Walks the frames of an HTTP/2 connection (RFC 9113 section 4.1) as its octets pass, without copying or keeping them.
//!
//! It sees the head of each frame and, of `RST_STREAM`, the error code. That octets come in whatever pieces makes no
//! difference to it. What is no HTTP/2 is walked as if it were; refusing it is the library's affair.

/// DATA.
pub(crate) const DATA: u8 = 0;
/// HEADERS.
pub(crate) const HEADERS: u8 = 1;
/// `RST_STREAM`.
pub(crate) const RST_STREAM: u8 = 3;
/// The flag of DATA and HEADERS that ends a stream.
pub(crate) const END_STREAM: u8 = 1;
/// Error codes (RFC 9113 section 7).
pub(crate) const NO_ERROR: u32 = 0;
/// See [`NO_ERROR`].
pub(crate) const INTERNAL_ERROR: u32 = 2;
/// See [`NO_ERROR`].
pub(crate) const CANCEL: u32 = 8;
/// The error code of a stream that was not looked at (RFC 9113 section 7).
pub(crate) const REFUSED_STREAM: u32 = 7;

/// What a client sends before its first frame (RFC 9113 section 3.4).
const PREFACE_OCTETS: usize = 24;
const HEAD_OCTETS: usize = 9;
const CODE_OCTETS: usize = 4;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Octets of its payload.
    pub(crate) length: usize,
    /// Its type.
    pub(crate) kind: u8,
    /// Its flags.
    pub(crate) flags: u8,
    /// The error code of an `RST_STREAM`; zero for other types.
    pub(crate) code: u32,
}

/// Where in the frames of one direction we are.
#[derive(Debug)]
pub(crate) struct Walker {
    /// Octets to pass before the next head.
    skip: usize,
    held: [u8; HEAD_OCTETS + CODE_OCTETS],
    filled: usize,
}

impl Walker {
    /// At the beginning of what a client sends.
    pub(crate) const fn of_client() -> Self {
        Self { skip: PREFACE_OCTETS, ..Self::of_server() }
    }

    /// At the beginning of what a server sends.
    pub(crate) const fn of_server() -> Self {
        Self { skip: 0, held: [0; HEAD_OCTETS + CODE_OCTETS], filled: 0 }
    }

    /// Walks over the next octets; tells the head of each frame as soon as it is whole.
    pub(crate) fn walk(&mut self, mut octets: &[u8], mut found: impl FnMut(Head)) {
        while !octets.is_empty() {
            if self.skip > 0 {
                let (skipped, rest) = octets.split_at(self.skip.min(octets.len()));
                self.skip -= skipped.len();
                octets = rest;
                continue;
            }
            let wanted = self.wanted() - self.filled;
            let (taken, rest) = octets.split_at(wanted.min(octets.len()));
            for (place, octet) in self.held.iter_mut().skip(self.filled).zip(taken) {
                *place = *octet;
            }
            self.filled += taken.len();
            octets = rest;
            if self.filled == self.wanted() {
                let head = self.head();
                self.skip = head.length - (self.filled - HEAD_OCTETS);
                self.filled = 0;
                found(head);
            }
        }
    }

    /// How much of this frame has to be held: the code belongs to it where there is one.
    fn wanted(&self) -> usize {
        let head = self.head();
        let has_code = self.filled >= HEAD_OCTETS && head.kind == RST_STREAM && head.length >= CODE_OCTETS;
        if has_code { HEAD_OCTETS + CODE_OCTETS } else { HEAD_OCTETS }
    }

    fn head(&self) -> Head {
        let [a, b, c, kind, flags, _, _, _, _, code @ ..] = self.held;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let code = if self.filled > HEAD_OCTETS { u32::from_be_bytes(code) } else { 0 };
        Head { length, kind, flags, code }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = (Head, Vec<u8>)> {
        (0_usize..300, 0_u8..12, any::<u8>(), any::<[u8; 4]>()).prop_map(|(length, kind, flags, stream)| {
            let payload: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("an octet")).collect();
            let code = match (kind, payload.as_slice()) {
                (RST_STREAM, [a, b, c, d, ..]) => u32::from_be_bytes([*a, *b, *c, *d]),
                _ => 0,
            };
            let length_octets = u32::try_from(length).expect("small").to_be_bytes();
            let octets = [&length_octets[1..], &[kind, flags], &stream, &payload].concat();
            (Head { length, kind, flags, code }, octets)
        })
    }

    proptest! {
        #[test]
        fn every_frame_is_found_in_whatever_pieces(
            frames in proptest::collection::vec(frame(), 0..20),
            pieces in proptest::collection::vec(1_usize..40, 1..10),
        ) {
            let mut octets = vec![b'x'; PREFACE_OCTETS];
            octets.extend(frames.iter().flat_map(|(_, octets)| octets));
            let (mut walker, mut found, mut rest) = (Walker::of_client(), Vec::new(), octets.as_slice());
            for piece in pieces.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(piece.min(rest.len()));
                walker.walk(now, |head| found.push(head));
                rest = later;
            }
            prop_assert_eq!(found, frames.into_iter().map(|(head, _)| head).collect::<Vec<_>>());
        }

        #[test]
        fn no_octets_are_too_strange(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
            Walker::of_server().walk(&octets, |_| ());
        }
    }
}
