//! A queue is a name, or the path of its declaration.
use actor_core::{Queue, actor};

static CALLS: &str = "calls";

mod queues {
    pub static MAIL: actor_core::Queue = actor_core::Queue::new("mail");
}

static BY_A_BAD_NAME: Queue = Queue::new("a name");

static OF_NONE: Queue = Queue::new("none").concurrency(0);

#[actor(queue = 5)]
fn numbered() {}

#[actor(queue = CALLS)]
fn no_queue() {}

#[actor(queue = queues::MALI)]
fn misspelt() {}

#[actor(queue = Queue::new("inline"))]
fn inline() {}

#[actor(queue = queues::MAIL)]
fn right() {}

fn main() {
    let _ = (&BY_A_BAD_NAME, &OF_NONE);
}
