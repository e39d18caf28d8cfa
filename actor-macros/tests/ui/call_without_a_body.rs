//! A declaration without a body has nothing to call.
use actor_core::actor;

#[actor]
pub async fn charge(id: u64) -> Result<(), String>;

#[actor]
pub fn tick();

async fn calls() -> Result<(), String> {
    tick.call();
    charge.call(1).await
}

fn main() {
    drop(calls());
}
