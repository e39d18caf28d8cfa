//! An argument is owned, or borrowed as a whole.
use actor_core::actor;
use std::borrow::Cow;

#[actor]
async fn changed(counts: &mut Vec<u32>) {
    counts.clear();
}

#[actor]
async fn nested(name: Option<&str>, pairs: Vec<(&str, u8)>) {
    let _ = (name, pairs);
}

#[actor]
async fn forever(name: &'static str) {
    let _ = name;
}

#[actor]
async fn anonymous(name: Cow<'_, str>) {
    let _ = name;
}

fn main() {
    let _ = changed.send(vec![1_u32]);
}
