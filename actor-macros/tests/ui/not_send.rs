//! A run moves between threads.
use actor_core::actor;
use std::rc::Rc;

async fn step() {}

#[actor]
async fn count(upto: u32) {
    let counter = Rc::new(upto);
    step().await;
    drop(counter);
}

fn main() {
    let _ = count.send(1);
}
