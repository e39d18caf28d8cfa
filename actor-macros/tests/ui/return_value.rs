//! What an actor returns implements `Serialize`.
use actor_core::actor;

pub struct Report;

#[actor]
pub async fn process_video() -> Result<Report, String> {
    Ok(Report)
}

fn main() {}
