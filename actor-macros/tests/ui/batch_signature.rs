//! What a function with `batch(..)` takes.
use actor_core::{BatchContext, Context, actor};

#[actor(batch(max = 10, wait = "1s"))]
async fn nothing(cx: &BatchContext) {
    let _ = cx;
}

#[actor(batch(max = 10, wait = "1s"))]
async fn one(item: u8) {
    let _ = item;
}

#[actor(batch(max = 10, wait = "1s"))]
async fn borrowed(items: &[u8]) {
    let _ = items;
}

#[actor(batch(max = 10, wait = "1s"))]
async fn two(items: Vec<u8>, full: bool) {
    let _ = (items, full);
}

#[actor(batch(max = 10, wait = "1s"))]
async fn defaulted(#[default] items: Vec<u8>) {
    let _ = items;
}

#[actor(batch(max = 10, wait = "1s"))]
async fn of_one_message(cx: &Context, items: Vec<u8>) {
    let _ = (cx, items);
}

#[actor]
async fn no_batch(cx: &BatchContext, item: u8) {
    let _ = (cx, item);
}

#[actor(batch(max = 10, wait = "1s"))]
async fn without_a_body(item: u8);

#[actor(batch(max = 10, wait = "1s"), retry_if = |_| true)]
async fn never_fails(items: Vec<u8>) {
    let _ = items;
}

fn main() {}
