//! A state is found by its type.
use actor_core::actor;
use std::fmt::Debug;

#[actor]
async fn borrowed(#[state] name: &str) {
    let _ = name;
}

#[actor]
async fn dynamic(#[state] thing: &(dyn Debug + Send + Sync)) {
    let _ = thing;
}

fn main() {}
