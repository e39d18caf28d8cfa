//! A local variable cannot have the name of an actor in scope.
use actor_core::actor;

#[actor]
async fn welcome(to: String) {
    let _ = to;
}

fn main() {
    let welcome = welcome.message("ada".to_owned());
    let _ = welcome;
}
