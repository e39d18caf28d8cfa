//! Behaviours of the whole, on every broker.
