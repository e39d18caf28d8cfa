//! A declaration with a body is its own implementation.
use actor_core::actor;

mod tasks {
    #[actor_core::actor]
    pub async fn tick() {}
}

#[actor(implements = tasks::tick)]
async fn tick() {}

fn main() {}
