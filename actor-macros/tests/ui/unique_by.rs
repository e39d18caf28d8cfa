use actor_core::actor;

struct Secret;

fn secret() -> Secret {
    Secret
}

#[actor(unique(by = secret()))]
async fn by_what_json_cannot_hold(_account: u64) {}

fn main() {}
