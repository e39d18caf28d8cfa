//! What the benchmarks share, in the order in which a run uses it.
//!
//! A scenario measures the library beside a *base*, most often the [`floor`]: the same work done by
//! hand, with the same `redis` crate and no library. Both are run in alternated pairs on one private
//! [`Server`], every run verifies by its [`Tally`] that each message was run exactly once, and the
//! [`Report`] shows the medians, their ranges and the ratio of the two.

mod args;
mod cargo;
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

/// What a benchmark ends with. It is a program: whatever goes wrong is shown to its user.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
