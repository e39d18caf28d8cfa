//! The options belong to the declaration.
use actor_core::actor;

mod tasks {
    #[actor_core::actor]
    pub async fn tick();
    #[actor_core::actor]
    pub async fn tock();
}

#[actor(implements = tasks::tick, queue = "mail", max_retries = 3)]
async fn tick() {}

#[actor(implements = tasks::tock)]
async fn tock();

fn main() {}
