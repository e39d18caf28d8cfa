//! What `batch(..)` needs, and what stands in it.
use actor_core::actor;

#[actor(batch)]
async fn bare(_items: Vec<u8>) {}

#[actor(batch = 100)]
async fn assigned(_items: Vec<u8>) {}

#[actor(batch(100))]
async fn unnamed(_items: Vec<u8>) {}

#[actor(batch(max = 100))]
async fn without_a_wait(_items: Vec<u8>) {}

#[actor(batch(wait = "200ms"))]
async fn without_a_maximum(_items: Vec<u8>) {}

#[actor(batch(size = 100, wait = "200ms"))]
async fn of_another_name(_items: Vec<u8>) {}

#[actor(batch(max = 0, wait = "200ms"))]
async fn of_none(_items: Vec<u8>) {}

#[actor(batch(max = "100", wait = 200))]
async fn of_other_types(_items: Vec<u8>) {}

#[actor(batch(max = 10, wait = "0s"))]
async fn at_once(_items: Vec<u8>) {}

#[actor(batch(max = 10, wait = "1 s", max = 10))]
async fn twice(_items: Vec<u8>) {}

fn main() {}
