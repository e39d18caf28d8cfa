//! A program of two crates that declare or implement the same actor, or one queue with other limits, refuses to start, and names both places. Within one
//! crate the compiler refuses it: see `actor-macros/tests/ui`.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::future::pending;

use actor_core::{MemoryBroker, Worker, registry};
use {duplicate_mail as _, duplicate_news as _};

const REFUSAL: &str = "\
actor `deliver` is declared twice:
  tests/duplicate/mail/lib.rs:6 (crate duplicate-mail 1.2.3)
  tests/duplicate/news/lib.rs:10 (crate duplicate-news 4.5.6)
actor `report` is implemented twice:
  tests/duplicate/mail/lib.rs:11 (crate duplicate-mail 1.2.3)
  tests/duplicate/news/lib.rs:15 (crate duplicate-news 4.5.6)
queue `calls` is declared with different limits: declare it once as a `static`, and write `queue = ITS_NAME` at each actor:
  tests/duplicate/mail/lib.rs:3:28: 5 at a time, per key 2 at a time
  tests/duplicate/news/lib.rs:7:5: no limit, per key 100 in 60s (burst 1), fair
";

#[tokio::test]
async fn a_program_of_two_crates_that_contradict_each_other_does_not_start_and_names_both_places() {
    assert_eq!(registry::check().unwrap_err().to_string(), REFUSAL.trim_end());
    assert_eq!(actor_core::install(MemoryBroker::new()).unwrap_err().to_string(), REFUSAL.trim_end());
    let refused = Worker::builder(MemoryBroker::new()).run_until(pending()).await.unwrap_err();
    let listed = REFUSAL.trim_end().replace("\nactor ", "\n- actor ").replace("\nqueue ", "\n- queue ");
    assert_eq!(refused.to_string(), format!("the worker cannot start:\n- {listed}"));
}
