//! Reading a few wanted fields out of another program's JSON and leaving the rest unread.
//!
//! Derived structs would not do: they refuse a repeated key and a field of another type, where the
//! reference takes the last one and goes on. A `serde_json::Value` would not do either: it would
//! hold every token in the file. What is skipped is skipped without recursion, however deep it is.

use std::fmt;
use std::marker::PhantomData;

use secrecy::SecretString;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as DeError, IgnoredAny,
    IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use super::SourceFault;
use crate::domain::without_bom;

/// A value as it is wanted. Each kind of JSON value it does not take counts as absent.
pub(super) trait Shape: Sized {
    fn from_text(_text: &str) -> Option<Self> {
        None
    }

    /// From a JSON number, as JavaScript has it.
    fn from_number(_number: f64) -> Option<Self> {
        None
    }

    /// From a JSON object; must take every entry of it.
    fn from_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Defines what is read of a JSON object: which field takes the value of which key. No other key's
/// value is read.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($key:literal => $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name { $($field: Option<$kind>),* }

        impl $crate::sources::wanted::Shape for $name {
            fn from_object<'de, A: serde::de::MapAccess<'de>>(
                mut fields: A,
            ) -> Result<Option<Self>, A::Error> {
                use $crate::sources::wanted::Wanted;
                let mut object = Self::default();
                while let Some(key) = fields.next_key::<String>()? {
                    match key.as_str() {
                        $($key => object.$field = fields.next_value::<Wanted<$kind>>()?.0,)*
                        _ => drop(fields.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                Ok(Some(object))
            }
        }
    };
}
pub(super) use object;

impl Shape for SecretString {
    fn from_text(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }
}

impl Shape for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Shape for f64 {
    fn from_number(number: f64) -> Option<Self> {
        Some(number)
    }
}

/// A field that is there in the wanted shape, or counts as absent.
pub(super) struct Wanted<T>(pub(super) Option<T>);

impl<'de, T: Shape> Deserialize<'de> for Wanted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(AnyValue(PhantomData))
            .map(Self)
    }
}

struct AnyValue<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for AnyValue<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: DeError>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: DeError>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: DeError>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text))
    }

    fn visit_f64<E: DeError>(self, number: f64) -> Result<Self::Value, E> {
        Ok(T::from_number(number))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "as the reference reads it: JavaScript has no other number"
    )]
    fn visit_i64<E: DeError>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::from_number(number as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "as the reference reads it: JavaScript has no other number"
    )]
    fn visit_u64<E: DeError>(self, number: u64) -> Result<Self::Value, E> {
        Ok(T::from_number(number as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        let mut fields = AfterFirstKey {
            key: None,
            rest: fields,
        };
        let first = fields.rest.next_key::<String>()?;
        if first.as_deref() == Some(NUMBER) {
            let digits: String = fields.rest.next_value()?;
            let number = digits
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite());
            return Ok(number.and_then(T::from_number));
        }
        fields.key = first;
        T::from_object(fields)
    }
}

/// The key under which serde_json hands over a number that is no integer of 64 bits, as text.
/// Source: serde_json 1.0.154, `number.rs` (`arbitrary_precision`).
const NUMBER: &str = "$serde_json::private::Number";

/// The entries of an object whose first key was read already.
struct AfterFirstKey<A> {
    key: Option<String>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for AfterFirstKey<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.key.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}

/// Reads a whole document; `None` when it is JSON of another shape.
pub(super) fn read<T: Shape>(bytes: &[u8]) -> Result<Option<T>, SourceFault> {
    deserialize::<Wanted<T>>(bytes).map(|wanted| wanted.0)
}

/// Reads a whole document into `D`. Fails when it is not JSON: where, and of which closed kind.
/// serde_json's own message may quote the input, so it goes no further than this function.
pub(super) fn deserialize<D: DeserializeOwned>(bytes: &[u8]) -> Result<D, SourceFault> {
    let bytes = without_bom(bytes);
    if bytes.is_empty() {
        return Err(SourceFault::Empty);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| not_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()))?;
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => SourceFault::CutShort { line, column },
            Category::Syntax | Category::Data | Category::Io => {
                SourceFault::NotJson { line, column }
            }
        }
    })
}

fn not_utf8(valid: &[u8]) -> SourceFault {
    let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + valid
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count();
    SourceFault::NotUtf8 { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_say_where_and_never_what() {
        for (bytes, want) in [
            (&b""[..], "it is empty"),
            (b"\xef\xbb\xbf", "it is empty"),
            (b"\xef\xbb\xbf{", "it is cut short at line 1, column 1"),
            (b"{\"a\":\n \"tok", "it is cut short at line 2, column 5"),
            (b"{\"a\": sk-ant}", "it is not JSON at line 1, column 7"),
            (b"{}\n{}", "it is not JSON at line 2, column 1"),
            (b"{\n \"\xff\"}", "it is not UTF-8 at line 2, column 3"),
            (b"   ", "it is cut short at line 1, column 3"),
        ] {
            let fault = read::<f64>(bytes).unwrap_err();
            assert_eq!(fault.to_string(), want);
        }
    }

    #[test]
    fn numbers_are_as_javascript_has_them() {
        for (text, want) in [
            ("5", Some(5.0)),
            ("-5", Some(-5.0)),
            ("1700000000000.5", Some(1_700_000_000_000.5)),
            ("1e3", Some(1000.0)),
            ("109876543210987654321", Some(109_876_543_210_987_650_000.0)),
            ("1e999", None), // no time that a clock knows
            ("\u{feff}7", Some(7.0)),
            ("{\"a\": 1}", None),
        ] {
            assert_eq!(read::<f64>(text.as_bytes()), Ok(want), "{text}");
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read::<f64>(deep.as_bytes()), Ok(None));
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(read::<f64>(deep.as_bytes()), Ok(None));
        assert!(read::<f64>("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<f64>(&bytes);
        }
    }
}
