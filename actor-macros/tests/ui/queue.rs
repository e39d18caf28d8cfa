//! A queue is a name, or the path of its declaration.
use actor_core::{Queue, actor};

static CALLS: &str = "calls";

static BY_A_BAD_NAME: Queue = Queue::new("a name");

static OF_NONE: Queue = Queue::new("none").concurrency(0);

#[actor(queue = 5)]
fn numbered() {}

#[actor(queue = CALLS)]
fn no_queue() {}

#[actor(queue = Queue::new("inline"))]
fn inline() {}

fn main() {
    let _ = (&BY_A_BAD_NAME, &OF_NONE);
}
