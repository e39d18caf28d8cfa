//! Names of actors and queues become storage keys.
use actor_core::actor;

#[actor(queue = "video {processing}")]
fn brace() {}

#[actor(queue = "")]
fn empty() {}

#[actor(name = "mail/welcome")]
fn slash() {}

#[actor]
fn größe() {}

fn main() {}
