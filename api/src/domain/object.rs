//! A JSON object as a struct, and only an object: serde by itself also takes an array, as the members in their order, which
//! no contract says.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What was read from an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        a: u8,
        b: Option<u8>,
    }

    #[test]
    fn an_array_is_not_an_object() {
        let read = |text| serde_json::from_str::<Object<Pair>>(text);
        assert_eq!(read(r#"{"a": 1}"#).expect("an object"), Object(Pair { a: 1, b: None }));
        for text in ["[1, 2]", "[1, null]", "null", "7", "\"a\""] {
            assert!(read(text).expect_err(text).to_string().contains("expected an object"), "{text}");
        }
        assert!(serde_json::from_str::<Pair>("[1, 2]").is_ok(), "else this type is not needed");
    }
}
