use actor_core::actor;

#[actor(queue = "mail")]
pub async fn deliver(to: String) {
    drop(to);
}

#[actor(implements = duplicate_tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
