//! The context is borrowed.
use actor_core::{Context, actor};

#[actor]
async fn owned(cx: Context) {
    let _ = cx;
}

#[actor]
async fn changed(cx: &mut Context) {
    let _ = cx;
}

#[actor]
async fn defaulted(#[default] cx: &Context) {
    let _ = cx;
}

fn main() {}
