//! The three states of a member in a merge-patch (RFC 7396): absent keeps, `null` clears, anything else sets.

use serde::{Deserialize, Deserializer};

use super::{Fault, Faults};

/// One member of a merge-patch. In its struct it stands with `#[serde(default)]`, which makes an absent one `Keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Absent: the value stays.
    #[default]
    Keep,
    /// `null`: the value goes.
    Clear,
    /// The value becomes this one.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T> Patch<T> {
    /// Whether the value stays.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The new value, if one is set.
    pub fn set(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }

    /// Applies it to a value that may be absent.
    pub fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value),
        }
    }

    /// Parses the value, if one is set; a fault is noted at `pointer` and keeps.
    pub fn parse<U>(self, faults: &mut Faults, pointer: &str, parse: impl FnOnce(T) -> Result<U, Fault>) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => faults.check(pointer, parse(value)).map_or(Patch::Keep, Patch::Set),
        }
    }

    /// Replaces `null`: what clears becomes this value.
    #[must_use]
    pub fn clear_is(self, value: T) -> Self {
        if let Self::Clear = self { Self::Set(value) } else { self }
    }

    /// For a member that must not be `null`: clearing it is a fault.
    pub fn required(self, faults: &mut Faults, pointer: &str) -> Option<T> {
        match self {
            Self::Keep => None,
            Self::Clear => {
                faults.note(pointer, Fault::new("null", "This member cannot be removed."));
                None
            }
            Self::Set(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        #[serde(default)]
        value: Patch<u8>,
    }

    fn read(text: &str) -> Patch<u8> {
        serde_json::from_str::<Sample>(text).expect("valid").value
    }

    #[test]
    fn absent_null_and_value_are_three_states() {
        assert_eq!(read("{}"), Patch::Keep);
        assert_eq!(read(r#"{"value": null}"#), Patch::Clear);
        assert_eq!(read(r#"{"value": 7}"#), Patch::Set(7));
    }

    /// RFC 7396 section 2, for one member: the reference to compare with.
    fn merge(target: Option<u8>, patch: &serde_json::Value) -> Option<u8> {
        match patch.get("value") {
            None => target,
            Some(value) => value.as_u64().and_then(|value| value.try_into().ok()),
        }
    }

    proptest! {
        #[test]
        fn it_is_the_merge_of_the_rfc(target: Option<u8>, patch: Option<Option<u8>>) {
            let text = patch.map_or_else(|| serde_json::json!({}), |value| serde_json::json!({ "value": value }));
            let mut patched = target;
            read(&text.to_string()).apply(&mut patched);
            prop_assert_eq!(patched, merge(target, &text));
            // Applying it again changes nothing.
            let once = patched;
            read(&text.to_string()).apply(&mut patched);
            prop_assert_eq!(patched, once);
        }
    }
}
