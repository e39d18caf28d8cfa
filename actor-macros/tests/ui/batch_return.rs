//! What a function with `batch(..)` returns.
use actor_core::actor;

mod tasks {
    #[actor_core::actor]
    pub async fn count(item: u8) -> Result<u32, String>;
    #[actor_core::actor]
    pub async fn spell(item: String) -> Result<(), String>;
}

#[actor(batch(max = 10, wait = "1s"))]
async fn number(items: Vec<u8>) -> usize {
    items.len()
}

#[actor(implements = tasks::count, batch(max = 10, wait = "1s"))]
async fn count(items: Vec<u8>) -> Result<(), String> {
    let _ = items;
    Ok(())
}

#[actor(implements = tasks::spell, batch(max = 10, wait = "1s"))]
async fn spell(items: Vec<u8>) -> Vec<Result<(), String>> {
    items.into_iter().map(|_| Ok(())).collect()
}

fn main() {}
