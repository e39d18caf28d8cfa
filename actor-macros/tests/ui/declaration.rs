//! A declaration lists what is sent, not what only a run needs.
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
