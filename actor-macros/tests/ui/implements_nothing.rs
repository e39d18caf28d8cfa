//! An implementation names a declared actor.
use actor_core::actor;

mod tasks {
    pub struct Tick;
    pub fn tock() {}
}

#[actor(implements = tasks::Tick)]
async fn not_an_actor() {}

#[actor(implements = tasks::tock)]
async fn a_function() {}

#[actor(implements = tasks::nowhere)]
async fn unknown() {}

fn main() {}
