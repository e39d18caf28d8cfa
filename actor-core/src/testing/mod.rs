//! What users test their actors with, and the suite for whoever writes a broker.
//!
//! A test needs no server, no second process and no waiting: it installs a [`TestBroker`] for its own
//! thread, lets the code under test send, looks at what was sent, and runs it in its own task, with a
//! clock that it moves by hand.
//!
//! ```
//! use std::time::Duration;
//! use actor_core::testing::TestBroker;
//! use actor_core::{Context, actor, assert_sent};
//!
//! #[actor(queue = "mail", max_retries = 1)]
//! async fn welcome(cx: &Context, to: String) -> Result<(), String> {
//!     if cx.attempt() == 1 { Err(format!("{to} is away")) } else { Ok(()) }
//! }
//!
//! async fn sign_up(address: &str) {
//!     welcome.send(address.to_owned()).await.expect("the broker is in this process");
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let broker = TestBroker::new();
//! let _installed = broker.install();
//!
//! sign_up("ada@example.com").await;
//! assert_sent!(welcome, ("ada@example.com".to_owned(),));
//!
//! let worker = broker.worker();
//! let first = worker.drain().await;
//! assert_eq!((first.done, first.retried), (0, 1));
//! assert_eq!(first.errors, ["welcome: ada@example.com is away"]);
//! let later = worker.advance(Duration::from_secs(60)).await;
//! assert_eq!(later.done, 1);
//! # }
//! ```

mod broker;
pub mod conformance;
mod context;
mod drained;
mod sent;
mod worker;

pub use broker::{Installed, TestBroker};
pub(crate) use broker::{carry, installed, installed_elsewhere};
pub use context::{batch_context, context};
pub use drained::Drained;
pub use sent::{Sent, assert_not_sent, assert_sent};
pub use worker::TestWorker;
