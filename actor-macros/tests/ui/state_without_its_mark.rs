//! A state without its mark is taken for an argument.
use std::sync::Arc;

use actor_core::actor;

pub struct Pool;

#[actor]
async fn charge(pool: &Pool, id: u64) {
    let _ = (pool, id);
}

#[actor]
async fn refund(pool: Arc<Pool>, id: u64) {
    let _ = (pool, id);
}

fn main() {}
