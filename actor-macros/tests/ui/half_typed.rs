//! A body that is being typed gives only its own error.
use actor_core::actor;

#[actor]
async fn welcome(to: String) {
    let name = to.
}

fn main() {
    let _ = welcome.send("ada".to_owned());
}
