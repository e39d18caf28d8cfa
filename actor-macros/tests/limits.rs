//! A queue's declaration, a key and a cost reach the messages of an actor.
#![allow(clippy::unwrap_used)] // Each one is an assertion.

use actor_core::testing::TestBroker;
use actor_core::{Actor, Limit, Queue, actor};
use serde::{Deserialize, Serialize};

pub mod queues {
    //! As in a crate that producers and workers share.
    use super::{Limit, Queue};

    pub static CALLS: Queue = Queue::new("calls").concurrency(3).per_key(Limit::new().concurrency(1));
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    customer: u64,
    items: Vec<String>,
}

const DEAR: u32 = 7;

/// What was sent: keys and costs.
fn sent(broker: &TestBroker) -> Vec<(Option<String>, u32)> {
    broker.sent().into_iter().map(|sent| (sent.key, sent.cost)).collect()
}

fn some(key: &str, cost: u32) -> (Option<String>, u32) {
    (Some(key.to_owned()), cost)
}

#[tokio::test]
async fn a_key_and_a_cost_are_made_of_the_arguments_however_a_message_is_sent() {
    #[actor(queue = queues::CALLS, key = order.customer, cost = order.items.len() as u32)]
    async fn ship(order: Order, carrier: &str) {
        drop((order, carrier.len()));
    }

    let broker = TestBroker::new();
    let order = |customer, items| Order { customer, items: vec![String::new(); items] };
    ship.send_with(&broker, order(1, 2), "by sea").await.unwrap();
    ship.message(order(2, 3), "by air").send_with(&broker).await.unwrap();
    ship.send_many_with(&broker, [(order(3, 0), "by land"), (order(4, 5), "by land")]).await.unwrap();
    assert_eq!(sent(&broker), [some("1", 2), some("2", 3), some("3", 1), some("4", 5)], "a cost is one at least");
    assert_eq!(broker.worker().drain().await.done, 4);
}

#[tokio::test]
async fn what_a_message_says_wins_over_its_actor() {
    #[actor(queue = queues::CALLS, key = format!("{region}/{}", tenant + 1), cost = DEAR)]
    async fn call(region: &str, tenant: u64) {
        let _ = (region, tenant);
    }

    let broker = TestBroker::new();
    call.message("eu", 1).send_with(&broker).await.unwrap();
    call.message("eu", 1).key("other").send_with(&broker).await.unwrap();
    call.message("eu", 1).cost(2).key(5).send_with(&broker).await.unwrap();
    assert_eq!(sent(&broker), [some("eu/2", DEAR), some("other", DEAR), some("5", 2)]);
    let error = call.message("eu", 1).key("x".repeat(1_025)).send_with(&broker).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("1025"), "{error}");
}

#[tokio::test]
async fn a_declaration_without_a_body_has_them_too() {
    mod tasks {
        #[actor_core::actor(queue = super::queues::CALLS, key = id)]
        pub async fn fetch(id: u32);
    }

    #[actor(implements = tasks::fetch)]
    async fn fetch(id: u32) {
        let _ = id;
    }

    let broker = TestBroker::new();
    tasks::fetch.send_with(&broker, 9).await.unwrap();
    assert_eq!(sent(&broker), [some("9", 1)]);
    assert_eq!(broker.worker().drain().await.done, 1);
}

#[tokio::test]
async fn in_a_queue_without_limits_a_key_only_names_what_belongs_together() {
    #[actor(queue = "plain", key = tenant, cost = 3)]
    async fn plain(tenant: u8) {
        let _ = tenant;
    }

    let broker = TestBroker::new();
    plain.send_with(&broker, 1).await.unwrap();
    assert_eq!(sent(&broker), [some("1", 0)]);
    assert_eq!(broker.worker().drain().await.done, 1);
}

#[test]
fn a_queue_may_be_declared_anywhere() {
    static HERE: Queue = Queue::new("here").fair();

    #[actor(queue = HERE)]
    async fn here() {}
    #[actor(queue = self::queues::CALLS)]
    async fn there() {}
    #[actor]
    async fn nowhere() {}

    assert!(here::DEF.queue.limits().fair && here::DEF.queue.name() == "here");
    assert_eq!((there.queue().as_str(), there::DEF.queue.limits()), ("calls", queues::CALLS.limits()));
    assert_eq!((nowhere.queue().as_str(), nowhere::DEF.queue.limits().is_gated()), ("default", false));
}
