//! An implementation cannot name its declaration by its own name.
use actor_core::actor;
use tasks::charge;

mod tasks {
    #[actor_core::actor]
    pub async fn charge(id: u64);
}

#[actor(implements = charge)]
async fn charge(id: u64) {
    let _ = id;
}

fn main() {
    let _ = charge.send(1);
}
