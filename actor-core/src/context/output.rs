//! Keeping what a run returned.

use serde::Serialize;

use super::Context;
use crate::{Failure, strict};

/// The largest result in a context without a broker.
const LARGEST: usize = 1 << 20;

impl Context {
    /// Keeps what the run returned. It is stored if the run counts.
    pub(crate) fn returned<T: Serialize + ?Sized>(&self, output: &T) -> Result<(), Failure> {
        let mut text = Vec::new();
        let written = strict::write(&mut text, output);
        self.written(text, written)
    }

    #[inline(never)]
    fn written(&self, text: Vec<u8>, written: Result<(), serde_json::Error>) -> Result<(), Failure> {
        if let Err(error) = written {
            return Err(format!("the result cannot be kept: {error}").into());
        }
        let limit = self.0.worker.home.as_ref().map_or(LARGEST, |home| home.broker.max_message_bytes());
        if text.len() > limit {
            let bytes = text.len();
            return Err(format!(
                "the result cannot be kept: it has {bytes} bytes, and the broker takes at most {limit}: return a \
                 reference to the data instead, or raise the broker's `max_message_bytes`"
            )
            .into());
        }
        self.0.follow.returned(String::from_utf8(text).expect("what is written without an error is JSON"));
        Ok(())
    }
}
