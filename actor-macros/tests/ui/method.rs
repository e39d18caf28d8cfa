//! A method is not an actor.
use actor_core::actor;

struct Mailer;

impl Mailer {
    #[actor]
    async fn welcome(&self, to: String) {
        let _ = to;
    }
}

fn main() {
    let _ = Mailer;
}
