//! The header of the PROXY protocol.

#[path = "../../gateway/src/edge/proxy_protocol/header.rs"]
mod header;

use header::{Announced, Found, LONGEST, parse};

/// The PROXY header: what is read octet by octet as the parser asks for them ends where the header ends, asks for nothing beyond
/// it, and never for more than the bound.
pub fn header(octets: &[u8]) {
    let mut held = 0;
    loop {
        match parse(&octets[..held]) {
            Found::Missing(missing) => {
                assert!(missing > 0 && held + missing <= LONGEST, "{missing} more after {held}");
                if held + missing > octets.len() {
                    break;
                }
                held += missing;
            }
            Found::Invalid => break,
            Found::Whole(announced) => {
                for end in 0..held {
                    assert!(
                        matches!(parse(&octets[..end]), Found::Missing(more) if more <= held - end),
                        "{end} of {held}"
                    );
                }
                if let (Announced::Client(client), Some(line)) = (announced, octets[..held].strip_suffix(b"\r\n")) {
                    let is_line = line.starts_with(b"PROXY ");
                    assert!(!is_line || line.windows(5).any(|word| word == b" TCP4") == client.is_ipv4());
                }
                break;
            }
        }
    }
}
