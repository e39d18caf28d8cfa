//! The unique key that a message holds, as it is stored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Unique, Until};

/// The key that a message holds, so that no other does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held<'a> {
    #[serde(borrow)]
    pub(crate) key: Cow<'a, str>,
    #[serde(default)]
    pub(crate) until: HeldUntil,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeldUntil {
    #[default]
    Done,
    Started,
}

impl<'a> Held<'a> {
    /// What a message of this key holds; a window it does not hold itself.
    pub(crate) fn of(unique: &'a Unique) -> Option<Self> {
        let until = match unique.uniqueness.until {
            Until::Done => HeldUntil::Done,
            Until::Started => HeldUntil::Started,
            Until::Window(_) => return None,
        };
        Some(Self { key: Cow::Borrowed(unique.key.as_str()), until })
    }
}
