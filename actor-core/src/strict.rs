//! Writes JSON, and refuses what JSON cannot hold.

use std::fmt;

use serde::Serialize;

/// Why a value cannot be written.
#[derive(Debug)]
pub(crate) struct Unserializable(serde_json::Error);

impl fmt::Display for Unserializable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) fn write<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<(), Unserializable> {
    serde_json::to_writer(text, value).map_err(Unserializable)
}
