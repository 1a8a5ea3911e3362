//! Reads a value into the type that asks for it, and says exactly where it does not fit.
//!
//! Text becomes a number or a boolean where the type asks for one, because `{$VAR}` always gives text. Complaints name what
//! was found by its kind and not by its content, which may be a secret.

use std::fmt::{self, Display};

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde_json::Value;

use super::{Pointer, is_open, suggest};

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct Complaint {
    /// Where, once known.
    pub(super) at: Option<Pointer>,
    pub(super) problem: String,
    pub(super) help: Option<String>,
    /// The key that is not there, when that is the complaint.
    pub(super) missing: Option<&'static str>,
}

impl Complaint {
    fn new(problem: String) -> Self {
        Self { at: None, problem, help: None, missing: None }
    }

    /// Keeps the innermost place.
    fn at(mut self, at: &Pointer) -> Self {
        self.at.get_or_insert_with(|| at.clone());
        self
    }
}

impl Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Complaint {}

impl de::Error for Complaint {
    fn custom<T: Display>(problem: T) -> Self {
        Self::new(problem.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", plain(expected), kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found another {}", plain(expected), bare(kind(found))))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let help = suggest(found, expected.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        Self { help, ..Self::new(format!("unknown choice, expected {}", one_of(expected))) }
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let help = suggest(found, expected.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        let wanted = if expected.is_empty() { "none".to_owned() } else { one_of(expected) };
        Self { help, ..Self::new(format!("unknown field `{found}`, expected {wanted}")) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("`{field}` is missing")) }
    }
}

/// Says what is expected without the names of Rust's types.
fn plain(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let plain = match text.as_str() {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "path string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("a nonzero ") => "a whole number, 1 or more",
        other if other.starts_with("struct ") => "an object",
        _ => return text,
    };
    plain.to_owned()
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "a list",
        Unexpected::Map | Unexpected::NewtypeStruct => "an object",
        Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "a choice",
        Unexpected::Other(_) => "a value",
    }
}

fn kind_of(value: &Value) -> &'static str {
    kind(match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(_) => Unexpected::Unsigned(0),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    })
}

/// Leaves out the article.
fn bare(kind: &str) -> &str {
    kind.split_once(' ').map_or(kind, |(_, kind)| kind)
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// A value that somebody asks for a type.
pub(super) struct Decoder<'a> {
    value: &'a Value,
    at: Pointer,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(value: &'a Value, at: Pointer) -> Self {
        Self { value, at }
    }

    /// Reads the value as what it is in the document.
    fn as_it_is<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Complaint> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), at: &self.at }),
            Value::Object(members) => {
                visitor.visit_map(Members { members: members.iter(), at: &self.at, value: None })
            }
        }
    }

    /// Reads a text as the number that the type asks for, anything else as it is.
    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Complaint> {
        let Value::String(text) = self.value else { return self.as_it_is(visitor) };
        if is_open(text) {
            // Whatever it will be, 1 stands for it: most bounds let it pass, and a complaint about it is not told.
            visitor.visit_u64(1)
        } else if let Ok(value) = text.parse::<u64>() {
            visitor.visit_u64(value)
        } else if let Ok(value) = text.parse::<i64>() {
            visitor.visit_i64(value)
        } else if let Some(value) = text.parse::<f64>().ok().filter(|value| value.is_finite()) {
            visitor.visit_f64(value)
        } else {
            self.as_it_is(visitor)
        }
    }
}

macro_rules! numbers {
    ($($ask:ident)*) => {
        $(fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Complaint> {
            self.number(visitor).map_err(|complaint| complaint.at(&self.at))
        })*
    };
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Complaint;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Complaint> {
        self.as_it_is(visitor).map_err(|complaint| complaint.at(&self.at))
    }

    numbers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16
        deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Complaint> {
        let read = match self.value.as_str() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            Some(text) if is_open(text) => visitor.visit_bool(true),
            Some(_) | None => self.as_it_is(visitor),
        };
        read.map_err(|complaint| complaint.at(&self.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Complaint> {
        match self.value {
            Value::Null => visitor.visit_none(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Complaint> {
        visitor.visit_newtype_struct(self)
    }

    /// Serde would take a list for the fields in their order, which nobody writes on purpose.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Complaint> {
        match self.value {
            Value::Array(_) => {
                Err(Complaint::new("expected an object, found a list".to_owned()).at(&self.at))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Complaint> {
        let read = match self.value {
            Value::String(text) => {
                let name: StrDeserializer<'_, Complaint> = text.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Object(members) if members.len() == 1 => {
                visitor.visit_enum(Members { members: members.iter(), at: &self.at, value: None })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(Complaint::new(format!("expected {}, found {}", one_of(variants), kind_of(self.value))))
            }
        };
        read.map_err(|complaint| complaint.at(&self.at))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
        ignored_any
    }
}

/// The items of a list.
struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    at: &'a Pointer,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Complaint;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Complaint> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        let at = self.at.index(index);
        // A type that refuses what it has read complains without a place.
        seed.deserialize(Decoder::new(value, at.clone())).map(Some).map_err(|complaint| complaint.at(&at))
    }
}

/// The members of an object.
struct Members<'a> {
    members: serde_json::map::Iter<'a>,
    at: &'a Pointer,
    value: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Complaint;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Complaint> {
        let Some((key, value)) = self.members.next() else { return Ok(None) };
        self.value = Some((key, value));
        let name: StringDeserializer<Complaint> = key.clone().into_deserializer();
        // A key that nobody knows is itself the place.
        seed.deserialize(name).map(Some).map_err(|complaint| complaint.at(&self.at.child(key)))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Complaint> {
        let (key, value) = self.value.take().unwrap_or(("", &Value::Null));
        let at = self.at.child(key);
        seed.deserialize(Decoder::new(value, at.clone())).map_err(|complaint| complaint.at(&at))
    }
}

impl<'de> EnumAccess<'de> for Members<'_> {
    type Error = Complaint;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<(T::Value, Self), Complaint> {
        let name = self.next_key_seed(seed)?;
        name.map(|name| (name, self)).ok_or_else(|| Complaint::new("expected one key".to_owned()))
    }
}

impl<'de> VariantAccess<'de> for Members<'_> {
    type Error = Complaint;

    fn unit_variant(mut self) -> Result<(), Complaint> {
        self.next_value_seed(std::marker::PhantomData)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Complaint> {
        self.next_value_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Complaint> {
        self.inside().deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Complaint> {
        self.inside().deserialize_any(visitor)
    }
}

impl<'a> Members<'a> {
    fn inside(self) -> Decoder<'a> {
        let (key, value) = self.value.unwrap_or(("", &Value::Null));
        Decoder::new(value, self.at.child(key))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::config::{Faults, Node};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
        port: u16,
        #[serde(default)]
        verbose: bool,
        #[serde(default)]
        ratio: Option<f64>,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        size: u8,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Reject,
        DropOldest,
    }

    fn complaint(value: Value) -> (String, String) {
        let mut faults = Faults::default();
        assert!(Node::new(value, Pointer::root().child("x")).parse::<Settings>(&mut faults).is_none());
        let fault = faults.iter().next().unwrap();
        let help = fault.help.clone().map(|help| format!("; {help}")).unwrap_or_default();
        (fault.at.to_string(), format!("{}{help}", fault.problem))
    }

    #[test]
    fn text_becomes_a_number_or_a_boolean_only_where_one_is_asked_for() {
        let value = json!({"name": "12345", "port": "5432", "verbose": "true", "ratio": "0.5", "mode": "drop_oldest"});
        let parsed = Node::new(value, Pointer::root()).parse(&mut Faults::default());
        let wanted = Settings {
            name: "12345".to_owned(),
            port: 5_432,
            verbose: true,
            ratio: Some(0.5),
            inner: Vec::new(),
            mode: Mode::DropOldest,
        };
        assert_eq!(parsed, Some(wanted));
    }

    #[test]
    fn a_complaint_names_the_exact_place_and_never_the_content() {
        let with = |key: &str, value: Value| {
            let mut all = json!({"name": "n", "port": 1});
            all[key] = value;
            complaint(all)
        };
        let told = |at: &str, problem: &str| (at.to_owned(), problem.to_owned());
        assert_eq!(
            with("port", json!("s3cret")),
            told("/x/port", "expected a whole number from 0 to 65535, found a text")
        );
        assert_eq!(
            with("port", json!(70_000)),
            told("/x/port", "expected a whole number from 0 to 65535, found another number")
        );
        assert_eq!(
            with("inner", json!([{"size": 1}, {"size": []}])),
            told("/x/inner/1/size", "expected a whole number from 0 to 255, found a list")
        );
        assert_eq!(with("inner", json!([[1]])), told("/x/inner/0", "expected an object, found a list"));
        assert_eq!(with("inner", json!([{}])), told("/x/inner/0", "`size` is missing"));
        assert_eq!(with("name", json!(1)), told("/x/name", "expected a text, found a number"));
        let problem = "unknown field `prot`, expected `name`, `port`, `verbose`, `ratio`, `inner`, `mode`; did you mean `port`?";
        assert_eq!(with("prot", json!(1)), told("/x/prot", problem));
        let problem = "unknown choice, expected `reject`, `drop_oldest`; did you mean `drop_oldest`?";
        assert_eq!(with("mode", json!("drop-oldest")), told("/x/mode", problem));
        let problem = "expected `reject`, `drop_oldest`, found a number";
        assert_eq!(with("mode", json!(5)), told("/x/mode", problem));
    }
}
