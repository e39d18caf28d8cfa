//! What an actor returns is owned.
use actor_core::actor;

#[actor]
async fn borrows(name: &str) -> Result<&str, String> {
    Ok(name)
}

#[actor]
fn never() -> ! {
    panic!()
}

fn main() {}
