//! A declaration without a body has nothing to register.
use actor_core::actor;
use actor_core::actor::Implementation;

#[actor]
pub async fn process_video(id: u64);

fn register<I: Implementation>() {}

fn main() {
    register::<process_video>();
}
