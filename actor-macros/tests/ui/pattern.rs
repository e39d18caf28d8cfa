//! An argument has a name.
use actor_core::actor;

#[actor]
async fn pair((a, b): (u8, u8)) {
    let _ = (a, b);
}

#[actor]
async fn nameless(_: u8) {}

#[actor]
fn declared(mut a: u8);

fn main() {
    let _ = (pair.send((1, 2)), nameless.send(1));
}
