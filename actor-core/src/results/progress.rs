//! How far a run has come, by its own word.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The field of a message's [state](crate::state) that holds it.
pub(crate) const PROGRESS: &str = "p";

/// How far a run has come, as it said last by [`Context::progress`](crate::Context::progress) and
/// [`Context::progress_note`](crate::Context::progress_note).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done, and of how much; `None` where the run only left a note.
    pub done: Option<(u64, u64)>,
    /// The last note.
    pub note: Option<String>,
}

impl Progress {
    /// The part that is done, from 0 to 1; `None` where that is not known.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let (done, total) = self.done.filter(|(_, total)| *total > 0)?;
        // Counts beyond 2^53 lose their last digits, which no fraction shows.
        #[allow(clippy::cast_precision_loss)]
        Some((done as f64 / total as f64).min(1.0))
    }

    pub(crate) fn read(field: &[u8]) -> Option<Self> {
        let Reported { done, note } = serde_json::from_slice(field).ok()?;
        // What says neither was written by someone else.
        (done.is_some() || note.is_some()).then(|| Self { done, note: note.map(Cow::into_owned) })
    }
}

impl fmt::Display for Progress {
    /// As in `42 of 100, writing chapter 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.done, &self.note) {
            (Some((done, total)), Some(note)) => write!(f, "{done} of {total}, {note}"),
            (Some((done, total)), None) => write!(f, "{done} of {total}"),
            (None, Some(note)) => f.write_str(note),
            (None, None) => Ok(()),
        }
    }
}

/// Its stored form.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reported<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<(u64, u64)>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_and_read() {
        let read = |field: &str| Progress::read(field.as_bytes());
        let progress = read(r#"{"done":[42,100],"note":"chapter 3","more":1}"#).unwrap();
        assert_eq!(progress.to_string(), "42 of 100, chapter 3");
        assert_eq!(progress.fraction(), Some(0.42));
        assert_eq!(read(r#"{"done":[1,0]}"#).unwrap().fraction(), None);
        assert_eq!(read(r#"{"note":"begins"}"#).unwrap().to_string(), "begins");
        assert_eq!(read("[]"), None);
    }
}
