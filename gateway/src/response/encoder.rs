//! Compresses an answer piece by piece: octets in, octets out, no I/O.
//!
//! What one encoder holds is bounded by its window and not by the answer: windows are 256 KiB at most, of the 8 MiB that
//! RFC 9659 allows for zstd.

use std::io::{self, Write};

use brotli::{CompressorWriter, enc::BrotliEncoderParams};
use flate2::{Compression, write::GzEncoder};

use crate::response::negotiation::Coding;

/// The largest window, as a power of two.
const WINDOW: u32 = 18;

/// Brotli's smallest window, as a power of two.
const SMALLEST_WINDOW: u32 = 10;

/// Octets that Brotli hands on at a time.
const BROTLI_BUFFER: usize = 4096;

/// An answer's body on its way.
pub struct Encoder(Codec);

enum Codec {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// Begins a body. `length` is how many octets will come, where that is known: it makes small answers cheap.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding, level: u32, length: Option<u64>) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Zstd => {
                let mut encoder =
                    zstd::stream::write::Encoder::new(Vec::new(), i32::try_from(level).unwrap_or_default())?;
                encoder.window_log(WINDOW)?;
                encoder.set_pledged_src_size(length)?;
                Codec::Zstd(encoder)
            }
            Coding::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: i32::try_from(level).unwrap_or_default(),
                    lgwin: i32::try_from(window(length)).unwrap_or_default(),
                    ..BrotliEncoderParams::default()
                };
                Codec::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &parameters)))
            }
            Coding::Gzip => Codec::Gzip(GzEncoder::new(Vec::new(), Compression::new(level))),
        }))
    }

    /// Takes the next piece; what is ready comes back, with `flush` all of it.
    ///
    /// # Errors
    /// When more comes than the length that was told.
    pub fn encode(&mut self, piece: &[u8], flush: bool) -> io::Result<Vec<u8>> {
        let writer: &mut dyn Write = match &mut self.0 {
            Codec::Zstd(encoder) => encoder,
            Codec::Brotli(encoder) => encoder,
            Codec::Gzip(encoder) => encoder,
        };
        writer.write_all(piece)?;
        if flush {
            writer.flush()?;
        }
        Ok(std::mem::take(match &mut self.0 {
            Codec::Zstd(encoder) => encoder.get_mut(),
            Codec::Brotli(encoder) => encoder.get_mut(),
            Codec::Gzip(encoder) => encoder.get_mut(),
        }))
    }

    /// Ends the body; what is left of it.
    ///
    /// # Errors
    /// When less came than the length that was told.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Codec::Zstd(encoder) => encoder.finish(),
            Codec::Brotli(encoder) => Ok(encoder.into_inner()),
            Codec::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// A window that holds all of the body, if that is small.
fn window(length: Option<u64>) -> u32 {
    let bits = length.map_or(WINDOW, |length| u64::BITS - length.leading_zeros());
    bits.clamp(SMALLEST_WINDOW, WINDOW)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn decode(coding: Coding, octets: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let read = match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(octets).expect("a decoder").read_to_end(&mut plain),
            Coding::Brotli => brotli::Decompressor::new(octets, 4096).read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(octets).read_to_end(&mut plain),
        };
        read.expect("whole");
        plain
    }

    /// As much as can be read of octets that are not whole.
    fn decode_beginning(coding: Coding, octets: &[u8], most: usize) -> Vec<u8> {
        let mut plain = vec![0; most];
        let read = match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(octets).expect("a decoder").read_exact(&mut plain),
            Coding::Brotli => brotli::Decompressor::new(octets, 4096).read_exact(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(octets).read_exact(&mut plain),
        };
        read.expect("the beginning");
        plain
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 3, None).expect("an encoder");
            let mut sent = Vec::new();
            for at in 1..=3 {
                sent.extend(encoder.encode(b"one event\n", true).expect("encoded"));
                let expected = b"one event\n".repeat(at);
                assert_eq!(decode_beginning(coding, &sent, expected.len()), expected, "{coding:?}");
            }
        }
    }

    #[test]
    fn small_answers_have_small_windows() {
        assert_eq!([None, Some(0), Some(1024), Some(5000), Some(u64::MAX)].map(window), [18, 10, 11, 13, 18]);
    }

    #[test]
    fn a_body_of_another_length_than_told_is_an_error() {
        let mut encoder = Encoder::new(Coding::Zstd, 3, Some(5)).expect("an encoder");
        encoder.encode(b"four", false).expect("encoded");
        assert!(encoder.finish().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_compressed_is_what_is_decompressed(
            pieces in proptest::collection::vec((prop_oneof![any::<Vec<u8>>(), "[a-c]{0,3000}".prop_map(String::into_bytes)], any::<bool>()), 0..8),
            level in 1_u32..=9,
            told: bool,
        ) {
            let plain: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
            for coding in Coding::ALL {
                let length = told.then_some(plain.len() as u64);
                let mut encoder = Encoder::new(coding, level, length).expect("an encoder");
                let mut sent = Vec::new();
                for (piece, flush) in &pieces {
                    sent.extend(encoder.encode(piece, *flush).expect("encoded"));
                }
                sent.extend(encoder.finish().expect("finished"));
                prop_assert_eq!(&decode(coding, &sent), &plain, "{:?}", coding);
            }
        }
    }
}
