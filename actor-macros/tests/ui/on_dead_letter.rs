use actor_core::{DeadLettered, actor};

#[actor]
async fn told_of_a_number(number: u64) {
    let _ = number;
}

#[actor(on_dead_letter = told_of_a_number)]
async fn charge(order: u64) {
    let _ = order;
}

#[actor(on_dead_letter = nobody)]
async fn ship(order: u64) {
    let _ = order;
}

#[actor(on_dead_letter = "told")]
async fn pack(order: u64) {
    let _ = order;
}

#[actor]
async fn told(failed: DeadLettered) {
    let _ = failed;
}

#[actor(on_dead_letter = told)]
async fn right() {}

fn main() {}
