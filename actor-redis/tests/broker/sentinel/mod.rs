/// Every promise of the seam, once more on a Sentinel set.
mod conformance;
/// Primaries that fail, and what becomes of messages and workers.
pub(crate) mod failover;
/// Sentinels that lie, are away, disagree, or want a password.
mod finding;
mod liar;
/// The thread that listens.
mod listening;
/// The servers and the Sentinels.
pub(crate) mod set;
