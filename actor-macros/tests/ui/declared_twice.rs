//! A second declaration of a name in a crate is an error that shows both places.
use actor_core::actor;

mod mail {
    #[super::actor]
    pub fn welcome() {}
}

mod signup {
    #[super::actor(name = "welcome")]
    pub fn greet() {}
}

fn main() {
    #[actor]
    fn inside() {}

    fn nested() {
        #[actor]
        fn inside() {}
    }
    nested();
    let _ = (mail::welcome, signup::greet, inside);
}
