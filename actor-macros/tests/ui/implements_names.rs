//! Two swapped arguments of one type are found by their names.
use actor_core::actor;

mod tasks {
    #[actor_core::actor]
    pub async fn resize(width: u32, height: u32);
}

#[actor(implements = tasks::resize)]
async fn resize(height: u32, width: u32) {
    let _ = (width, height);
}

fn main() {}
