//! An argument cannot have the name of its actor.
use actor_core::actor;

#[actor]
async fn resize(resize: u32) {
    let _ = resize;
}

fn main() {
    let _ = resize.send(1);
}
