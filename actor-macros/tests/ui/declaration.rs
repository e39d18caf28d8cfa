//! A declaration says what is sent, and nothing of how it is run.
use actor_core::{Context, actor};

#[actor]
pub async fn with_context(cx: &Context, id: u64);

#[actor]
pub async fn with_state(#[state] pool: &u32, id: u64);

#[actor]
pub async fn with_default(#[default] id: u64);

#[actor(retry_if = |_| true)]
pub async fn with_retry_if(id: u64) -> Result<(), String>;

fn main() {}
