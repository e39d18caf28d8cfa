//! An unsized type is used behind a reference.
use actor_core::actor;

#[actor]
async fn text(name: str) {
    let _ = name;
}

#[actor]
async fn slice(numbers: [u8]) {
    let _ = numbers;
}

#[actor]
async fn inferred(number: _) {
    let _ = number;
}

fn main() {}
