//! What a queue or a key names must be there: a key is made of what the message carries.
use actor_core::{Context, actor};

mod queues {
    pub static MAIL: actor_core::Queue = actor_core::Queue::new("mail");
}

#[actor(queue = queues::MALI)]
fn misspelt() {}

#[actor(queue = queues::MAIL, key = user)]
async fn no_such_argument(account: u64) {
    let _ = account;
}

#[actor(queue = queues::MAIL, key = pool.len())]
async fn of_a_state(#[state] pool: &Vec<String>) {
    drop(pool.len());
}

#[actor(queue = queues::MAIL, cost = cx.attempt())]
async fn of_the_run(cx: &Context) {
    drop(cx.attempt());
}

fn main() {}
