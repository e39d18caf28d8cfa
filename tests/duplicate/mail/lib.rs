use actor_core::{Limit, Queue, actor};

pub static CALLS: Queue = Queue::new("calls").concurrency(5).per_key(Limit::new().concurrency(2));

#[actor(queue = CALLS, key = to)]
pub async fn deliver(to: String) {
    drop(to);
}

#[actor(implements = duplicate_tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
