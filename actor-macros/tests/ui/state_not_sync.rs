//! A state is shared between threads.
use actor_core::actor;
use std::cell::Cell;

#[actor]
async fn count(#[state] counter: &Cell<u32>) {
    let _ = counter;
}

fn main() {}
