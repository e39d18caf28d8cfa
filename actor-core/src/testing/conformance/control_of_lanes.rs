//! Cancelling, deleting and rescheduling what waits in lanes, or holds slots.

use std::time::Duration;

use super::Harness;
use super::control::MANY;
use super::limits::{declared, per_key};
use super::scene::{DELAY, HOUR, Scene};
use crate::broker::Enqueue;
use crate::control::{Cancelled, Change, Changed, Deleted, Filter, Rescheduled};
use crate::delivery::{Consumer, Delivery};
use crate::inspect::State;
use crate::settlement::{Outcome, Settled};
use crate::{Key, Lane, Limit, MessageId, Priority, wire};

impl<H: Harness> Scene<H> {
    /// A message in the lane of a key.
    async fn sent_in_lane(&self, key: &str) -> MessageId {
        let id = MessageId::new();
        let lane = Lane::new(Key::new(key).expect("a test's keys are short"));
        let body = format!(r#"{{"v":2,"id":"{id}","actor":"a","queue":"conformance","args":[],"key":"{key}"}}"#);
        self.enqueue(vec![Enqueue::new(id, Priority::Normal, body.into()).lane(lane)]).await;
        id
    }

    /// One message that holds the only slot of its queue, and is ready: a worker has released it.
    async fn released(&self, worker: &Consumer) -> MessageId {
        let id = self.sent_in_lane("a").await;
        let delivery = self.claim_one(worker).await;
        let release = Outcome::Release { body: delivery.body.clone() };
        assert_eq!(self.settle(worker, &delivery, release.into()).await, Settled::Applied);
        self.counts([1, 0, 0, 0]).await;
        id
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<Option<MessageId>> {
    deliveries.iter().map(|delivery| wire::id(&delivery.body)).collect()
}

/// Wherever it stands in its lane.
pub async fn a_message_in_a_lane_is_found_by_its_id<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("w", per_key(Limit::new().concurrency(1))).await;
    let running = scene.sent_in_lane("a").await;
    let delivery = scene.claim_one(&worker).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(scene.sent_in_lane("a").await);
        scene.sent_in_lane("b").await;
    }
    assert_eq!(scene.cancel(waiting[1]).await, Cancelled::Removed);
    assert_eq!(scene.delete(waiting[2]).await, Deleted::Removed);
    assert_eq!(scene.reschedule(waiting[0], Duration::ZERO).await, Rescheduled::Moved);
    assert_eq!(scene.reschedule(waiting[0], DELAY).await, Rescheduled::Moved);
    for id in &waiting[1..3] {
        assert_eq!(scene.cancel(*id).await, Cancelled::NotFound);
        assert_eq!(scene.delete(*id).await, Deleted::NotFound);
        assert_eq!(scene.reschedule(*id, HOUR).await, Rescheduled::NotFound);
    }
    scene.waiting(5).await;
    scene.counts([0, 1, 1, 0]).await;
    assert_eq!(scene.delete(running).await, Deleted::InFlight);
    scene.done(&worker, &delivery).await;
    let filter = Filter::new().key("b");
    assert_eq!(scene.change_all(Change::Delete, &filter).await, Changed::new(4, 0, None));
    // What was moved comes back to its lane, and waits there for its limits.
    let next = scene.claim_one(&worker).await;
    assert_eq!(ids(std::slice::from_ref(&next)), [Some(waiting[3])]);
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.waiting(1).await;
    scene.done(&worker, &next).await;
    assert_eq!(ids(&scene.deliver(&worker, 1).await), [Some(waiting[0])]);
}

/// More of them than any page has, while nothing is passed over for what was taken before.
pub async fn a_filter_reaches_all_that_waits_in_lanes<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("w", declared(|queue| queue.concurrency(1))).await;
    let message = |number: usize| {
        let (id, key) = (MessageId::new(), ["a", "b", "c"][number % 3]);
        let body = format!(r#"{{"v":2,"id":"{id}","actor":"a","queue":"q","args":[],"sent_at":1,"key":"{key}"}}"#);
        let lane = Lane::new(Key::new(key).expect("it is short"));
        Enqueue::new(id, Priority::Normal, body.into()).lane(lane)
    };
    scene.enqueue((0..3 * MANY).map(message).collect()).await;
    let many = MANY as u64;
    let of = |key| Filter::new().key(key);
    assert_eq!(scene.change_all(Change::Delete, &of("a")).await.changed, many);
    scene.waiting(2 * many).await;
    assert_eq!(scene.change_all(Change::Reschedule(HOUR), &of("b")).await.changed, many);
    scene.waiting(many).await;
    scene.counts([0, 0, many, 0]).await;
    let cancelled = scene.change_all(Change::Cancel, &Filter::new().state(State::Waiting)).await;
    assert_eq!(cancelled.changed, many);
    scene.waiting(0).await;
    scene.delivers_nothing(&worker).await;
    assert_eq!(scene.change_all(Change::Reschedule(Duration::ZERO), &Filter::new()).await.changed, many);
    assert_eq!(scene.claim(&worker, 10).await.len(), 1);
}

/// Whatever is done to it.
pub async fn what_leaves_before_it_ran_frees_its_slot<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("w", declared(|queue| queue.concurrency(1))).await;
    for way in 0..6 {
        let id = scene.released(&worker).await;
        let next = scene.sent_in_lane("b").await;
        let all = Filter::new().key("a");
        match way {
            0 => assert_eq!(scene.cancel(id).await, Cancelled::Removed),
            1 => assert_eq!(scene.delete(id).await, Deleted::Removed),
            2 => assert_eq!(scene.reschedule(id, HOUR).await, Rescheduled::Moved),
            3 => assert_eq!(scene.change_all(Change::Cancel, &all).await.changed, 1),
            4 => assert_eq!(scene.change_all(Change::Delete, &all).await.changed, 1),
            _ => assert_eq!(scene.change_all(Change::Reschedule(DELAY), &all).await.changed, 1),
        }
        let delivered = scene.at_once(&worker).await;
        assert_eq!(ids(&delivered), [Some(next)], "{way}");
        if way == 2 {
            assert_eq!(scene.delete(id).await, Deleted::Removed);
        }
        if way == 5 {
            // It goes back to its lane when it is due.
            scene.advance(DELAY).await;
            scene.delivers_nothing(&worker).await;
            scene.waiting(1).await;
        }
        scene.done(&worker, &delivered[0]).await;
    }
    assert_eq!(scene.deliver(&worker, 1).await.len(), 1);
}

/// A message that was cancelled in flight, and that its worker releases, holds its slot no longer.
pub async fn a_cancelled_message_that_is_released_frees_its_slot<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("w", declared(|queue| queue.concurrency(1))).await;
    let id = scene.sent_in_lane("a").await;
    let delivery = scene.claim_one(&worker).await;
    let next = scene.sent_in_lane("a").await;
    assert_eq!(scene.cancel(id).await, Cancelled::Requested);
    let release = Outcome::Release { body: delivery.body.clone() };
    assert_eq!(scene.settle(&worker, &delivery, release.into()).await, Settled::Cancelled);
    assert_eq!(ids(&[scene.claim_one(&worker).await]), [Some(next)]);
}
