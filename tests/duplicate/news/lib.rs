//! It begins some lines later.

use actor_core::actor;

#[actor(queue = "news")]
pub fn deliver(number: u8) {
    let _ = number;
}

#[actor(implements = duplicate_tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
