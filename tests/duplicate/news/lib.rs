//! It begins some lines later.

use actor_core::{Limit, Queue, actor};
use std::time::Duration;

pub static CALLS: Queue = Queue::new("calls").per_key(Limit::new().rate(100, Duration::from_mins(1)).burst(1)).fair();

#[actor(queue = CALLS)]
pub fn deliver(number: u8) {
    let _ = number;
}

#[actor(implements = duplicate_tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
