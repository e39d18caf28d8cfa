//! What the benchmarks share, in the order a run uses it.
//!
//! A scenario compares the library with a *base*, most often the [`floor`]: the same work done by hand, with the same
//! `redis` crate. Both run in alternated pairs on one private [`Server`]. Every run verifies with its [`Tally`] that
//! each message ran exactly once. The [`Report`] shows the medians, their ranges and their ratio.

mod args;
mod cargo;
mod cluster;
pub mod collect;
mod cost;
pub mod floor;
pub mod latency;
pub mod library;
mod machine;
mod pace;
mod pairs;
mod process;
mod proxy;
mod report;
mod server;
mod spread;
mod tally;
pub mod work;

pub use args::Args;
pub use cargo::cargo;
pub use cluster::Cluster;
pub use cost::{Cost, Meter};
pub use machine::machine;
pub use pace::Pace;
pub use pairs::Pairs;
pub use process::WorkerProcess;
pub use proxy::Proxy;
pub use report::{Figure, Report, number};
pub use server::{Persistence, Server};
pub use spread::Spread;
pub use tally::Tally;

/// The result of a benchmark. It is a program, so errors are shown to its user.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
