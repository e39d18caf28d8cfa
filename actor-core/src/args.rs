//! Writes and reads a message's arguments, a JSON array, one element at a time.
//!
//! Nothing here is generic over all arguments of an actor: a struct or a tuple for each would multiply
//! the compile time and the size of a crate with many actors.

mod argument;

use serde::de::value::Error as MissingError;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, Visitor};

pub use self::argument::Borrowed;
use self::argument::{Argument, OwnedArgument};
use crate::call::RunError;
use crate::size::debug_by_size;
use crate::strict;
use crate::unique::Digest;

/// Writes a message's arguments.
#[doc(hidden)]
pub struct ArgWriter {
    text: Vec<u8>,
    count: usize,
    error: Option<ArgumentError>,
    /// What the actor's options make of the arguments.
    pub(crate) key: Option<String>,
    pub(crate) cost: Option<u32>,
    pub(crate) unique: Option<Digest>,
}

debug_by_size!(ArgWriter { text, count, error, key, cost, unique });

impl ArgWriter {
    /// An empty list.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut text = Vec::with_capacity(64);
        text.push(b'[');
        Self { text, count: 0, error: None, key: None, cost: None, unique: None }
    }

    /// Appends an argument. `send` reports the first error.
    pub fn push<T: Argument + ?Sized>(&mut self, name: &'static str, value: &T) {
        if self.count > 0 {
            self.text.push(b',');
        }
        self.count += 1;
        let written = strict::write(&mut self.text, value);
        self.record(name, written);
    }

    /// Sets the message's key.
    #[inline(never)]
    pub fn key(&mut self, key: &dyn std::fmt::Display) {
        self.key = Some(key.to_string());
    }

    /// Sets the message's cost.
    pub fn cost(&mut self, cost: u32) {
        self.cost = Some(cost);
    }

    /// Sets what the message is unique by.
    pub fn unique<T: Argument + ?Sized>(&mut self, by: &T) {
        let mut text = Vec::new();
        let written = strict::write(&mut text, by);
        self.unique = Some(Digest::of_json(&String::from_utf8_lossy(&text)));
        self.record("unique(by)", written);
    }

    #[inline(never)]
    fn record(&mut self, name: &'static str, written: Result<(), serde_json::Error>) {
        if let (Err(error), None) = (written, &self.error) {
            self.error = Some(ArgumentError { index: self.count, name, what: error.to_string() });
        }
    }

    pub(crate) fn finish(mut self) -> Result<String, ArgumentError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.text.push(b']');
        Ok(String::from_utf8(self.text).expect("what is written without an error is JSON"))
    }
}

/// An argument that JSON cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument {index} (`{name}`) cannot be sent: {what}")]
pub(crate) struct ArgumentError {
    index: usize,
    name: &'static str,
    what: String,
}

/// Stands in rearranged arguments for one that the message lacks. No JSON begins so.
pub(crate) const ABSENT: &str = "!";

/// Reads a message's arguments, in order.
#[doc(hidden)]
#[derive(Debug)]
pub struct ArgReader<'a> {
    rest: &'a [u8],
    read: usize,
    is_rearranged: bool,
}

impl<'a> ArgReader<'a> {
    /// Begins to read a JSON array. The message was decoded before, so it is known to be JSON.
    ///
    /// # Errors
    ///
    /// It is not an array.
    pub fn new(array: &'a [u8]) -> Result<Self, RunError> {
        let inner = array.trim_ascii().strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
        match inner {
            Some(rest) => Ok(Self { rest: rest.trim_ascii(), read: 0, is_rearranged: false }),
            None => Err(RunError::Arguments("`args` is not a JSON array".to_owned())),
        }
    }

    /// Reads the next argument. A missing `Option` is `None`.
    ///
    /// # Errors
    ///
    /// It is missing or of another type.
    pub fn next<T: OwnedArgument>(&mut self, name: &str) -> Result<T, RunError> {
        if self.is_absent() {
            return T::deserialize(Missing).map_err(|_| self.missing(name));
        }
        self.element(name)
    }

    /// Reads the next argument, or takes its default if it is missing.
    ///
    /// # Errors
    ///
    /// It is of another type.
    pub fn next_or<T: OwnedArgument>(&mut self, name: &str, default: impl FnOnce() -> T) -> Result<T, RunError> {
        if self.is_absent() { Ok(default()) } else { self.element(name) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// The message has more arguments.
    #[inline(never)]
    pub fn finish(mut self) -> Result<(), RunError> {
        let taken = self.read;
        while !self.rest.is_empty() {
            self.element::<IgnoredAny>("")?;
        }
        if self.read == taken { Ok(()) } else { Err(RunError::TooManyArguments { given: self.read, taken }) }
    }

    /// Whether the message lacks the next argument, which is passed then.
    fn is_absent(&mut self) -> bool {
        match self.rest {
            [] => true,
            [b'!', ..] => {
                self.is_rearranged = true;
                self.read += 1;
                self.pass(ABSENT.len());
                true
            }
            _ => false,
        }
    }

    /// Decodes the next element in place, so that its text is parsed once.
    fn element<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, RunError> {
        self.read += 1;
        let mut elements = serde_json::Deserializer::from_slice(self.rest).into_iter::<T>();
        match elements.next() {
            Some(Ok(value)) => {
                let read = elements.byte_offset();
                self.pass(read);
                Ok(value)
            }
            Some(Err(error)) => Err(self.mismatch(name, &error)),
            None => Err(self.missing(name)),
        }
    }

    /// Skips so many bytes, and the comma.
    #[inline(never)]
    fn pass(&mut self, read: usize) {
        let rest = self.rest[read..].trim_ascii_start();
        self.rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }

    /// Skips an element of another type, and returns what is wrong with it.
    #[inline(never)]
    fn mismatch(&mut self, name: &str, error: &serde_json::Error) -> RunError {
        let mut elements = serde_json::Deserializer::from_slice(self.rest).into_iter::<IgnoredAny>();
        let read = if let Some(Ok(_)) = elements.next() { elements.byte_offset() } else { self.rest.len() };
        self.pass(read);
        let text = error.to_string();
        // The position is relative to the argument, which would mislead.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        // To find the variant, serde buffers the value, and its buffer has no 128-bit numbers. `send` cannot
        // see this, and reading each argument back would double the build time of senders.
        let buffered = what.contains("untagged enum") || what.ends_with("128 is not supported");
        let hint = if buffered { " (serde reads no `u128` or `i128` within such a type: send a text)" } else { "" };
        RunError::Arguments(format!("argument {} (`{name}`): {what}{hint}", self.read))
    }

    #[inline(never)]
    fn missing(&self, name: &str) -> RunError {
        if self.is_rearranged {
            return RunError::OtherSignature(format!(
                "the sender's actor has no argument `{name}`, which this worker's needs"
            ));
        }
        RunError::Arguments(format!("argument {} (`{name}`) is missing", self.read + 1))
    }
}

/// Deserializes a missing argument: only an `Option` can be made of it.
struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = MissingError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, MissingError> {
        Err(serde::de::Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MissingError> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
        match result {
            Err(RunError::Arguments(what)) => what,
            other => panic!("expected an argument error, got {other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut writer = ArgWriter::new();
        writer.push("a", "comma, \"quote\" and ] bracket");
        writer.push("b", &vec![vec![1, 2], vec![]]);
        writer.push("c", &None::<u8>);
        let text = writer.finish().unwrap();
        let mut reader = ArgReader::new(text.as_bytes()).unwrap();
        assert_eq!(reader.next::<String>("a").unwrap(), "comma, \"quote\" and ] bracket");
        assert_eq!(reader.next::<Vec<Vec<u8>>>("b").unwrap(), [vec![1, 2], vec![]]);
        assert_eq!(reader.next::<Option<u8>>("c").unwrap(), None);
        reader.finish().unwrap();
    }

    #[test]
    fn an_error_names_the_argument() {
        let mut reader = ArgReader::new(b"[1, 300]").unwrap();
        reader.next::<u8>("first").unwrap();
        assert_eq!(
            error(reader.next::<u8>("second")),
            "argument 2 (`second`): invalid value: integer `300`, expected u8"
        );
        assert_eq!(error(reader.next::<u8>("third")), "argument 3 (`third`) is missing");
    }

    #[test]
    fn a_number_of_128_bits_in_what_serde_buffers_is_named_by_the_worker() {
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(untagged)]
        enum Amount {
            Wei(u128),
        }
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "kind")]
        enum Payment {
            Wei { amount: i128 },
        }
        let mut writer = ArgWriter::new();
        writer.push("plain", &u128::MAX);
        writer.push("untagged", &Amount::Wei(1));
        writer.push("tagged", &Payment::Wei { amount: 1 });
        let text = writer.finish().unwrap();
        let mut reader = ArgReader::new(text.as_bytes()).unwrap();
        assert_eq!(reader.next::<u128>("plain").unwrap(), u128::MAX);
        for what in [error(reader.next::<Amount>("untagged")), error(reader.next::<Payment>("tagged"))] {
            assert!(what.ends_with("(serde reads no `u128` or `i128` within such a type: send a text)"), "{what}");
        }
    }

    #[test]
    fn a_missing_argument_may_be_optional_or_have_a_default() {
        let mut reader = ArgReader::new(b"[]").unwrap();
        assert_eq!(reader.next::<Option<u8>>("a").unwrap(), None);
        assert_eq!(reader.next_or("b", || 7).unwrap(), 7);
        reader.finish().unwrap();
    }

    #[test]
    fn an_absent_argument_among_others_may_be_optional_or_have_a_default() {
        let mut reader = ArgReader::new(b"[!,2,!,!]").unwrap();
        assert_eq!(reader.next::<Option<u8>>("a").unwrap(), None);
        assert_eq!(reader.next::<u8>("b").unwrap(), 2);
        assert_eq!(reader.next_or("c", || 7).unwrap(), 7);
        let Err(RunError::OtherSignature(what)) = reader.next::<u8>("d") else { panic!("there is no such argument") };
        assert_eq!(what, "the sender's actor has no argument `d`, which this worker's needs");
        reader.finish().unwrap();
    }

    #[test]
    fn extra_arguments_are_refused() {
        let mut reader = ArgReader::new(b"[1,2,3]").unwrap();
        reader.next::<u8>("a").unwrap();
        assert!(matches!(reader.finish(), Err(RunError::TooManyArguments { given: 3, taken: 1 })));
        assert_eq!(error(ArgReader::new(b"{}")), "`args` is not a JSON array");
    }
}
