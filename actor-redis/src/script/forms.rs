//! The forms of a settling script, by what its messages hold and what follows from them.

use redis::ToRedisArgs;

use super::follow::{follow_keys, follows, write_follows};
use super::lanes::write_held;
use super::{Call, Held, Source, gated, holding};
use crate::keys::Keys;

/// A settling script's forms: where no message holds anything, where one does, and where something follows from one.
#[derive(Clone, Copy)]
pub(super) struct Forms {
    pub(super) plain: &'static Source,
    pub(super) freeing: &'static Source,
    pub(super) following: &'static Source,
}

impl Forms {
    /// A script that settles what is stored again, from which nothing follows.
    pub(super) const fn storing(plain: &'static Source, freeing: &'static Source) -> Self {
        Self { plain, freeing, following: freeing }
    }

    pub(super) fn call(
        self,
        keys: &Keys,
        before: Vec<&str>,
        held: &[Option<Held<'_>>],
        args: impl ToRedisArgs,
    ) -> Call {
        if !held.iter().any(Option::is_some) {
            return self.plain.call(&before, args);
        }
        let mut all = holding(keys, gated(keys, before));
        if !follows(held) {
            return self.freeing.call(&all, args);
        }
        let more = follow_keys(keys, held);
        all.extend(more.iter().map(String::as_str));
        self.following.call(&all, args)
    }
}

impl Call {
    /// The call of a freeing script with what its messages hold, and of a following one with what follows from them; of
    /// another, as it is.
    pub(super) fn with_held(mut self, keys: &Keys, held: &[Option<Held<'_>>]) -> Self {
        if held.iter().any(Option::is_some) {
            write_held(&mut self, held);
        }
        if follows(held) {
            write_follows(&mut self, keys, held);
        }
        self
    }
}
