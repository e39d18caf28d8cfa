//! What durability memory can have.

use crate::{BrokerError, Durability};

/// Refuses what no memory of one process can be.
pub(super) fn can_be(durability: Option<Durability>) -> Result<(), BrokerError> {
    match durability {
        None | Some(Durability::Stored | Durability::Replicated(0)) => Ok(()),
        Some(more) => Err(BrokerError::refused(format!(
            "a broker in memory has no replica and no disk, so that no message can be {more:?}: send it as Stored"
        ))),
    }
}
