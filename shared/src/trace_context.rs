//! W3C Trace Context (`traceparent`, version 00): read, continued, written.
//!
//! Only the identity of the trace is kept here; a tier that records spans takes it from the same header.

use std::fmt;

use uuid::Uuid;

/// The header of the trace context.
pub const HEADER: &str = "traceparent";

/// One position in a trace: which trace, which span is the parent, whether it is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// The start of a new trace.
    pub fn fresh() -> Self {
        Self { trace: random(), span: random_span(), flags: 0 }
    }

    /// Reads the header's value; `None` for anything the specification calls invalid (section 3.2).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hexadecimal(version, 2)?;
        // A later version may append parts; version 00 has exactly four, and ff is never valid.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let parent = Self {
            trace: hexadecimal(trace, 32)?,
            span: u64::try_from(hexadecimal(span, 16)?).ok()?,
            flags: u8::try_from(hexadecimal(flags, 2)?).ok()? & 1,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }

    /// The next position in the same trace, with this tier's own span.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: random_span(), ..self }
    }

    /// The trace id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// The name of a trace, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let lower_case = text.bytes().all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet));
    (text.len() == digits && lower_case).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// 122 random bits are enough to name a trace, and the version bits keep it from being zero.
fn random() -> u128 {
    Uuid::new_v4().as_u128()
}

fn random_span() -> u64 {
    // The high half of a version 4 UUID always has its version bit set, so it is never zero.
    Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specifications_example_is_read_and_continued() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(value.as_bytes()).expect("valid");
        assert_eq!(parent.to_string(), value);
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
    }

    #[test]
    fn invalid_values_are_refused() {
        for value in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_writing_reads_back(value in proptest::collection::vec(any::<u8>(), 0..70)) {
            let _ = TraceParent::parse(&value);
            let fresh = TraceParent::fresh();
            prop_assert_eq!(TraceParent::parse(fresh.to_string().as_bytes()), Some(fresh));
        }
    }
}
