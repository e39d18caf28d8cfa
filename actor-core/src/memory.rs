//! The broker in this process.

/// A broker in this process.
#[derive(Clone, Debug, Default)]
pub struct MemoryBroker {}
