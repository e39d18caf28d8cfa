//! A body that is still being typed is the only error.
use actor_core::actor;

#[actor]
async fn welcome(to: String) {
    let name = to.
}

fn main() {
    let _ = welcome.send("ada".to_owned());
}
