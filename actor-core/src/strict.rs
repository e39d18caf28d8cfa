//! Writes JSON as `serde_json` does, and refuses values that would be read differently.
//!
//! `serde_json` writes `null` for NaN, and nests deeper than it reads. It has no setting against either.
//! So this module writes the brackets and commas, and `serde_json` writes every leaf. Wrapping its
//! serializer instead would compile each argument's type for two serializers.

use serde::Serialize;
use serde::ser::{self, Error as _, Serializer};
use serde_json::Error;
use serde_json::value::RawValue;

/// How deep a value may be nested. `serde_json` reads no deeper.
const DEEPEST: usize = 127;

/// The prefix of the types by which `serde_json` marks text that is JSON already (`RawValue`).
const VERBATIM: &str = "$serde_json::private::";

/// Appends a value to a JSON text. After an error, the text is not JSON.
pub(crate) fn write<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    let mut writer = Writer { text: std::mem::take(text), depth: 0 };
    let written = value.serialize(&mut writer);
    *text = writer.text;
    written
}

struct Writer {
    text: Vec<u8>,
    depth: usize,
}

impl Writer {
    fn leaf<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(&mut self.text, value)
    }

    fn number(&mut self, value: f64, written: impl Serialize) -> Result<(), Error> {
        if value.is_finite() {
            return self.leaf(&written);
        }
        Err(Error::custom(format_args!("{value} is no JSON number: send an Option, or a text")))
    }

    /// Begins an array or object, within the object of an enum's variant if there is one.
    fn open(&mut self, variant: Option<&str>, begin: u8) -> Result<Compound<'_>, Error> {
        let levels = if variant.is_some() { 2 } else { 1 };
        self.depth += levels;
        if self.depth > DEEPEST {
            return Err(Error::custom(format_args!(
                "it is nested deeper than {DEEPEST} levels, and could not be read"
            )));
        }
        if let Some(variant) = variant {
            self.text.push(b'{');
            self.leaf(variant)?;
            self.text.push(b':');
        }
        self.text.push(begin);
        // In ASCII each closing bracket is two after its opening one.
        Ok(Compound { writer: self, levels, end: begin + 2, empty: true, verbatim: false })
    }

    /// Turns the text from `start` on into an object's key. A key is a string, and `serde_json` makes
    /// strings of numbers and booleans.
    fn key(&mut self, start: usize) -> Result<(), Error> {
        match self.text.get(start) {
            Some(b'"') => return Ok(()),
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {}
            _ => return Err(Error::custom("a map's key must be a text, a number or a boolean: send a list of pairs")),
        }
        self.text.insert(start, b'"');
        self.text.push(b'"');
        Ok(())
    }

    /// Replaces the JSON string from `start` on by its content, which must be JSON.
    fn unquote(&mut self, start: usize) -> Result<(), Error> {
        let json: String = serde_json::from_slice(&self.text[start..])?;
        serde_json::from_str::<&RawValue>(&json)?;
        self.text.truncate(start);
        self.text.extend_from_slice(json.as_bytes());
        Ok(())
    }
}

struct Compound<'a> {
    writer: &'a mut Writer,
    levels: usize,
    end: u8,
    empty: bool,
    /// Whether to write its only member without the object around it.
    verbatim: bool,
}

impl Compound<'_> {
    fn comma(&mut self) {
        if !self.empty {
            self.writer.text.push(b',');
        }
        self.empty = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(&mut *self.writer)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        if self.verbatim {
            let start = self.writer.text.len();
            value.serialize(&mut *self.writer)?;
            return self.writer.unquote(start);
        }
        self.comma();
        self.writer.leaf(name)?;
        self.writer.text.push(b':');
        value.serialize(&mut *self.writer)
    }

    fn close(self) {
        if self.verbatim {
            return;
        }
        self.writer.text.push(self.end);
        if self.levels == 2 {
            self.writer.text.push(b'}');
        }
        self.writer.depth -= self.levels;
    }
}

macro_rules! leaves {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.leaf(&value)
        })*
    };
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    leaves! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_bytes: &[u8],
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.number(value.into(), value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.number(value, value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.leaf(&())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        let before = self.text.len();
        value.serialize(&mut *self)?;
        if &self.text[before..] == b"null" {
            return Err(Error::custom("it is `Some` of what is written as null, and would be read as `None`"));
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.leaf(&())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.leaf(&())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.leaf(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut object = self.open(None, b'{')?;
        object.member(variant, value)?;
        object.close();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        self.open(None, b'[')
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, Error> {
        self.open(None, b'[')
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        self.open(None, b'[')
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        self.open(Some(variant), b'[')
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        self.open(None, b'{')
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        if name.starts_with(VERBATIM) {
            return Ok(Compound { writer: self, levels: 0, end: b'}', empty: true, verbatim: true });
        }
        self.open(None, b'{')
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        self.open(Some(variant), b'{')
    }
}

macro_rules! compounds {
    ($($trait:ident::$method:ident($($name:ident: $type:ty)?) as $write:ident,)*) => {
        $(impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), Error> {
                self.$write($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        })*
    };
}

compounds! {
    SerializeSeq::serialize_element() as element,
    SerializeTuple::serialize_element() as element,
    SerializeTupleStruct::serialize_field() as element,
    SerializeTupleVariant::serialize_field() as element,
    SerializeStruct::serialize_field(name: &'static str) as member,
    SerializeStructVariant::serialize_field(name: &'static str) as member,
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let start = self.writer.text.len();
        key.serialize(&mut *self.writer)?;
        self.writer.key(start)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.writer.text.push(b':');
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
