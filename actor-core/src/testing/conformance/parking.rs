//! What a worker cannot run waits for one that can.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene, parked, release, texts};
use crate::broker::Broker;
use crate::delivery::{Consumer, Delivery};
use crate::inspect::{Inspect, State};
use crate::settlement::{Outcome, Settled};
use crate::{MessageId, Priority};

impl<H: Harness> Scene<H> {
    /// Parks a message of each body.
    async fn park(&self, by: &Consumer, messages: &[(&str, &str)], after: Duration) {
        for (body, ability) in messages {
            let delivery = self.hold_one(by, body).await;
            assert_eq!(self.settle(by, &delivery, parked(body, ability, after)).await, Settled::Applied);
        }
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Vec<Delivery> {
        self.broker.unpark(consumer, abilities, max).await.expect(REACHED)
    }
}

/// It is nobody else's, and not lost.
pub async fn a_parked_message_waits_for_a_worker_with_the_ability<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    scene.park(&old, &[("1", "actor:late")], HOUR).await;
    scene.counts([0, 0, 1, 0]).await;
    scene.delivers_nothing(&old).await;
    assert_eq!(texts(&scene.unpark(&old, &["actor:lat", "actor:scheduled", "format:1"], 10).await), [""; 0]);
    let delivered = scene.unpark(&new, &["actor:early", "actor:late"], 10).await;
    assert_eq!(texts(&delivered), ["1"]);
    assert_eq!((delivered[0].crashes, delivered[0].interruptions), (0, 0));
    scene.counts([0, 1, 0, 0]).await;
    assert_eq!(texts(&scene.unpark(&new, &["actor:late"], 10).await), [""; 0], "it is delivered once");
    scene.delivers_nothing(&old).await;
}

/// However many abilities are needed, by what is parked before and after them.
pub async fn a_worker_finds_its_own_among_many_abilities<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    let abilities: Vec<_> = (10..60).map(|number| format!("actor:a{number}")).collect();
    let messages: Vec<_> = abilities.iter().map(|ability| (&ability[6..], &**ability)).collect();
    scene.park(&old, &messages, HOUR).await;
    assert_eq!(texts(&scene.unpark(&new, &["actor:a1", "actor:a57", "actor:a6"], 10).await), ["a57"]);
    let all: Vec<_> = abilities.iter().map(|ability| &**ability).collect();
    let mut found = 0;
    // One call may look for some of them only.
    for _ in 0..all.len() {
        found += scene.unpark(&new, &all, 100).await.len();
    }
    assert_eq!(found, 49);
}

/// As many as were asked for.
pub async fn what_is_parked_is_delivered_by_ability_and_then_by_age<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    scene.park(&old, &[("b1", "b"), ("a1", "a"), ("a2", "a"), ("c1", "c"), ("b2", "b")], HOUR).await;
    assert_eq!(texts(&scene.unpark(&new, &["a", "b"], 0).await), [""; 0]);
    assert_eq!(texts(&scene.unpark(&new, &["a", "b"], 3).await), ["a1", "a2", "b1"]);
    assert_eq!(texts(&scene.unpark(&new, &["a", "b"], 3).await), ["b2"]);
    scene.counts([0, 4, 1, 0]).await;
}

/// So that nobody asks in vain.
pub async fn a_renewal_names_the_queues_in_which_messages_are_parked<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    assert!(scene.renew(&new).await.parked.is_empty());
    scene.park(&old, &[("1", "a"), ("2", "b")], HOUR).await;
    assert_eq!(scene.renew(&new).await.parked, std::slice::from_ref(&scene.queue));
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), ["1"]);
    assert_eq!(scene.renew(&new).await.parked, std::slice::from_ref(&scene.queue), "another is still parked");
    assert_eq!(texts(&scene.unpark(&new, &["b"], 10).await), ["2"]);
    scene.unpark(&new, &["b"], 10).await;
    assert!(scene.renew(&new).await.parked.is_empty());
}

/// What nobody asks for is not forgotten.
pub async fn a_parked_message_is_ready_for_anybody_at_its_time<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    scene.park(&old, &[("it", "a")], DELAY).await;
    let (delivered, ()) = tokio::join!(scene.deliver(&old, 1), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["it"]);
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), [""; 0]);
}

/// Whoever has the ability does not shorten the wait of a later attempt.
pub async fn what_was_parked_and_is_retried_waits_for_its_retry<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    let (id, priority, body) = (MessageId::new(), Priority::Normal, Bytes::from_static(b"it"));
    let delivery = scene.hold_one(&old, "it").await;
    let park = Outcome::Park { id, priority, body: body.clone(), after: DELAY, ability: "a".to_owned() };
    assert_eq!(scene.settle(&old, &delivery, park.into()).await, Settled::Applied);
    let (delivered, ()) = tokio::join!(scene.deliver(&old, 1), scene.advance(DELAY));
    let retry = Outcome::Reschedule { id, priority, body, after: HOUR };
    assert_eq!(scene.settle(&old, &delivered[0], retry.into()).await, Settled::Applied);
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), [""; 0]);
    scene.counts([0, 0, 1, 0]).await;
}

/// What only points to it is dropped.
pub async fn a_parked_message_that_is_deleted_is_not_delivered<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    scene.park(&old, &[("1", "a"), ("2", "a")], HOUR).await;
    let listed = scene.list(State::Scheduled).await;
    let first = listed.iter().find(|message| message.body == "1").expect("it is scheduled");
    assert!(scene.broker.delete(&scene.queue, State::Scheduled, &first.handle).await.expect(REACHED));
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), ["2"]);
    scene.counts([0, 1, 0, 0]).await;
}

/// It says nothing about the run of the worker that has the message now.
pub async fn only_the_holder_parks_a_message<H: Harness>(scene: Scene<H>) {
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    let delivery = scene.hold_one(&late, "it").await;
    scene.end_lease(&late).await;
    assert_eq!(texts(&scene.recover(&other, 1).await), ["it"]);
    assert_eq!(scene.settle(&late, &delivery, parked("it", "a", HOUR)).await, Settled::Stale);
    scene.counts([0, 1, 0, 0]).await;
    assert_eq!(texts(&scene.unpark(&other, &["a"], 10).await), [""; 0]);
}

/// As it delivers nothing else.
pub async fn a_paused_queue_unparks_nothing<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    scene.park(&old, &[("it", "a")], HOUR).await;
    scene.broker.pause(&scene.queue).await.expect(REACHED);
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), [""; 0]);
    scene.broker.resume(&scene.queue).await.expect(REACHED);
    assert_eq!(texts(&scene.unpark(&new, &["a"], 10).await), ["it"]);
}

/// As every other delivery.
pub async fn what_is_unparked_can_be_settled_and_recovered<H: Harness>(scene: Scene<H>) {
    let (old, new, other) = (scene.worker("old").await, scene.worker("new").await, scene.worker("other").await);
    scene.park(&old, &[("1", "a"), ("2", "a"), ("3", "a")], HOUR).await;
    let delivered = scene.unpark(&new, &["a"], 10).await;
    assert_eq!(texts(&delivered), ["1", "2", "3"]);
    assert_eq!(scene.settle(&new, &delivered[0], Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(scene.settle(&new, &delivered[1], release("2")).await, Settled::Applied);
    scene.end_lease(&new).await;
    let recovered = scene.recover(&other, 10).await;
    assert_eq!(texts(&recovered), ["3"]);
    assert_eq!(recovered[0].crashes, 1);
    assert_eq!(texts(&scene.deliver(&old, 1).await), ["2"]);
    scene.counts([0, 2, 0, 0]).await;
}
