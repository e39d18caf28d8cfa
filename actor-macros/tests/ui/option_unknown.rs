//! An unknown option is refused with the one that was probably meant.
use actor_core::actor;

#[actor(quue = "mail")]
fn slip() {}

#[actor(queue_name = "mail")]
fn other_queue() {}

#[actor(retries = 3, colour = "red")]
fn two_of_them() {}

#[actor(timeout = "1m")]
fn from_elsewhere() {}

fn main() {
    let _ = (slip.send(), other_queue.send(), two_of_them.send(), from_elsewhere.send());
}
