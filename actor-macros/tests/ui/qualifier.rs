//! An actor is a plain function.
use actor_core::actor;

#[actor]
const fn constant() {}

#[actor]
unsafe fn dangerous() {}

#[actor]
extern "C" fn foreign() {}

fn main() {
    let _ = (constant.send(), dangerous.send(), foreign.send());
}
