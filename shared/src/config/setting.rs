//! The types a key can have. Text types of a tier's own implement `FromStr` and are read with `Section::parsed`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// One value as it stands in a layer.
#[derive(Debug, Clone, Copy)]
pub enum Raw<'a> {
    /// A quoted string of a file.
    Text(&'a str),
    /// An integer of a file.
    Integer(i64),
    /// A float of a file.
    Float(f64),
    /// `true` or `false` of a file.
    Boolean(bool),
    /// The value of an environment variable: its type is what the reader expects.
    Variable(&'a str),
}

impl<'a> Raw<'a> {
    /// The value, where it is text.
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Variable(text) => Some(text),
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) => None,
        }
    }
}

/// A type that a key can have.
pub trait Setting: Sized {
    /// What is expected, for the sentence "expected …".
    const EXPECTED: &'static str;

    /// Reads the value; `None` where it is not of this type.
    fn read(raw: Raw<'_>) -> Option<Self>;
}

impl Setting for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn read(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Boolean(flag) => Some(flag),
            Raw::Variable(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a string";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text().map(str::to_owned)
    }
}

/// Integers are read within the bounds of their type.
macro_rules! integer {
    ($($number:ty => $expected:literal),+ $(,)?) => {
        $(impl Setting for $number {
            const EXPECTED: &'static str = $expected;

            fn read(raw: Raw<'_>) -> Option<Self> {
                match raw {
                    Raw::Integer(number) => Self::try_from(number).ok(),
                    Raw::Variable(text) => text.parse().ok(),
                    _ => None,
                }
            }
        })+
    };
}

integer! {
    u8 => "an integer from 0 to 255",
    u16 => "an integer from 0 to 65535",
    u32 => "an integer from 0 to 4294967295",
    u64 => "an integer of 0 or more",
    usize => "an integer of 0 or more",
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Float(number) => Some(number),
            Raw::Integer(number) => i32::try_from(number).ok().map(Self::from),
            Raw::Variable(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"250ms\", \"10s\" or \"15min\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        humantime::parse_duration(raw.text()?).ok()
    }
}

/// A number of octets, written like `64KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The size as a count of memory, which a 64-bit machine can hold.
    pub fn octets(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for ByteSize {
    const EXPECTED: &'static str = "a size such as \"16KiB\" or \"1MiB\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let text = raw.text()?;
        // A bare number is ambiguous to the eye; the unit is part of the value.
        text.ends_with('B').then(|| bytesize::ByteSize::from_str(text).ok())?.map(|size| Self(size.as_u64()))
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address with a port, such as \"127.0.0.1:8000\" or \"[::1]:8000\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text()?.parse().ok()
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty()).map(Self::from)
    }
}
