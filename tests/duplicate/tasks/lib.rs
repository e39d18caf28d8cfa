use actor_core::actor;

#[actor(queue = "reports")]
pub async fn report(day: u32) -> Result<(), String>;
