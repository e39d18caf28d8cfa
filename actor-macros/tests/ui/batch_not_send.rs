//! What a message of a batch carries moves between threads.
use std::marker::PhantomData;
use std::rc::Rc;

use actor_core::actor;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Local(PhantomData<Rc<u8>>);

#[actor(batch(max = 10, wait = "1s"))]
fn local(items: Vec<Local>) {
    let _ = items;
}

fn main() {}
