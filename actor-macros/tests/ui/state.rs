//! A state is shared by all runs.
use actor_core::actor;

#[actor]
async fn owned(#[state] pool: Vec<u32>) {
    let _ = pool;
}

#[actor]
async fn changed(#[state] pool: &mut Vec<u32>) {
    let _ = pool;
}

#[actor]
async fn named(#[state(main)] pool: &Vec<u32>) {
    let _ = pool;
}

#[actor]
async fn defaulted(#[state] #[default] pool: &Vec<u32>) {
    let _ = pool;
}

fn main() {
    let _ = owned.send();
}
