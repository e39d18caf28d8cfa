//! Every thread of the worker reads a state.
use actor_core::actor;
use std::cell::Cell;

#[actor]
async fn count(#[state] counter: &Cell<u32>) {
    let _ = counter;
}

fn main() {}
