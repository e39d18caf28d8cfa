//! A local cannot be called like an actor that is in scope.
use actor_core::actor;

#[actor]
async fn welcome(to: String) {
    let _ = to;
}

fn main() {
    let welcome = welcome.message("ada".to_owned());
    let _ = welcome;
}
