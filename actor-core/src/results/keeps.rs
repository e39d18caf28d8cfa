//! Which actors keep results, and who can read them.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Awaiting;
use crate::{Actor, MessageId};

/// An actor that is declared with `results = ".."`. `#[actor]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` keeps no results",
    label = "there is no result to wait for",
    note = "declare it with `#[actor(results = \"1h\")]` to keep what it returns for an hour"
)]
pub trait KeepsResults: Actor {}

/// An actor whose results can be read here: it keeps them, and they can be deserialized.
///
/// The lifetime has the compiler check it where `result` is called, and not where the actor is declared.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` keeps no results",
    label = "there is no result to wait for",
    note = "declare it with `#[actor(results = \"1h\")]` to keep what it returns for an hour"
)]
pub trait ReadsResults<'reader>: Actor {
    /// What waits: [`Awaiting`] what the actor returns. It is named here, so that an error in the return type is not reported
    /// again where the actor is declared.
    type Awaiting;

    /// Waits for a message's result, through the installed broker.
    fn read(id: MessageId, timeout: Duration) -> Self::Awaiting;
}

impl<A: KeepsResults> ReadsResults<'_> for A
where
    A::Output: DeserializeOwned + 'static,
{
    type Awaiting = Awaiting<'static, A::Output>;

    fn read(id: MessageId, timeout: Duration) -> Self::Awaiting {
        Awaiting::new(A::DEF, id, timeout, None)
    }
}
