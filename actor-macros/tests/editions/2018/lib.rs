//! `#[actor]` compiles in a crate of edition 2018, without a warning.
#![forbid(unsafe_code)]
#![deny(warnings, future_incompatible, missing_docs, unreachable_pub, rust_2018_compatibility)]

#[path = "../../lints/actors.rs"]
pub mod actors;
