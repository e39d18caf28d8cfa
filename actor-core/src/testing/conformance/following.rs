//! What follows from a settlement happens if the settlement applies, and then once.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::limits::per_key;
use super::scene::{DELAY, HOUR, LEASE, REACHED, Scene, dead_lettered, lane, message, release, retry, text, texts};
use crate::broker::{Broker, Enqueue};
use crate::delivery::{Consumer, Delivery, WorkerId};
use crate::inspect::{Inspect, State};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::{Key, Limit, Priority, QueueName, Unique, Uniqueness};

/// Where what follows goes to.
fn target() -> QueueName {
    QueueName::declared("conformance-other")
}

impl<H: Harness> Scene<H> {
    /// A worker of another queue.
    async fn elsewhere(&self) -> Consumer {
        let consumer = Consumer::new(WorkerId::new("elsewhere"), target());
        self.broker.register(&consumer.worker, &[target()], LEASE).await.expect(REACHED);
        consumer
    }

    /// Brings what is noted for a queue to it.
    async fn relay(&self, to: &QueueName) {
        if let Some(outboxes) = self.broker.outboxes() {
            outboxes.relay(&self.queue, to).await.expect(REACHED);
            let waits = outboxes.list_outboxes(&self.queue).await.expect(REACHED);
            assert!(waits.iter().all(|outbox| outbox.to != *to), "{waits:?}");
        }
    }

    async fn ends(&self, consumer: &Consumer, delivery: &Delivery, follows: Vec<Consequence>) -> Settled {
        self.settle(consumer, delivery, followed(Outcome::Done, follows)).await
    }

    async fn count(&self, queue: &QueueName) -> [u64; 4] {
        match self.broker.counts(queue).await {
            Ok(counts) => [counts.ready, counts.in_flight, counts.scheduled, counts.waiting],
            // A queue that was never used is an error.
            Err(_) => [0; 4],
        }
    }
}

fn followed(outcome: Outcome, follows: Vec<Consequence>) -> Settlement {
    let mut settlement = Settlement::from(outcome);
    settlement.consequences = follows;
    settlement
}

fn send(to: &QueueName, message: Enqueue) -> Consequence {
    Consequence::Send { queue: to.clone(), message: Box::new(message) }
}

fn normal(to: &QueueName, body: &str) -> Consequence {
    send(to, message(body, Priority::Normal))
}

/// To the same queue and to others, each in its order and priority.
pub async fn what_follows_is_stored_in_its_queue<H: Harness>(scene: Scene<H>) {
    let (worker, elsewhere) = (scene.worker("worker").await, scene.elsewhere().await);
    let delivery = scene.hold_one(&worker, "it").await;
    let own = scene.queue.clone();
    let mut follows: Vec<_> =
        (0..5).flat_map(|n| [normal(&target(), &format!("other {n}")), normal(&own, &format!("own {n}"))]).collect();
    follows.push(send(&target(), message("first", Priority::High)));
    assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
    scene.relay(&target()).await;
    assert_eq!(texts(&scene.deliver(&worker, 5).await), ["own 0", "own 1", "own 2", "own 3", "own 4"]);
    let arrived = scene.deliver(&elsewhere, 6).await;
    assert_eq!(texts(&arrived), ["first", "other 0", "other 1", "other 2", "other 3", "other 4"]);
    assert!(scene.broker.queues().await.expect(REACHED).contains(&target()), "a queue that was sent to is known");
}

/// A dead letter's settlement is one as well; one that fails to apply has none.
pub async fn something_follows_from_a_dead_letter_too<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let delivery = scene.hold_one(&worker, "it").await;
    let mut end = dead_lettered(Bytes::from("it"), "it failed");
    end.consequences = vec![normal(&target(), "it failed"), normal(&scene.queue, "look at it")];
    assert_eq!(scene.settle(&worker, &delivery, end.clone()).await, Settled::Applied);
    assert_eq!(scene.settle(&worker, &delivery, end).await, Settled::Stale);
    scene.relay(&target()).await;
    scene.counts([1, 0, 0, 1]).await;
    assert_eq!(scene.count(&target()).await, [1, 0, 0, 0]);
}

/// Whoever settled it before, and however often it is tried.
pub async fn nothing_follows_from_what_is_settled_already<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let delivery = scene.hold_one(&worker, "it").await;
    scene.end_lease(&worker).await;
    let recovered = scene.recover(&other, 1).await;
    let follows = |from: &str| vec![normal(&target(), from), normal(&scene.queue, from)];
    // The first to be done counts, whoever that is.
    assert_eq!(scene.ends(&worker, &delivery, follows("first")).await, Settled::Applied);
    assert_eq!(scene.ends(&other, &recovered[0], follows("second")).await, Settled::Stale);
    assert_eq!(scene.ends(&worker, &delivery, follows("first, again")).await, Settled::Stale);
    scene.relay(&target()).await;
    scene.counts([1, 0, 0, 0]).await;
    assert_eq!(scene.count(&target()).await, [1, 0, 0, 0]);
    assert_eq!(text(&scene.list(State::Ready).await[0].body), "first");
}

/// A failure that comes too late has no say, and so nothing follows.
pub async fn nothing_follows_from_a_late_failure<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let delivery = scene.hold_one(&worker, "it").await;
    scene.end_lease(&worker).await;
    scene.recover(&other, 1).await;
    let mut end = dead_lettered(Bytes::from("it"), "it failed");
    end.consequences = vec![normal(&target(), "it failed"), normal(&scene.queue, "look at it")];
    assert_eq!(scene.settle(&worker, &delivery, end).await, Settled::Stale);
    scene.relay(&target()).await;
    scene.counts([0, 1, 0, 0]).await;
    assert_eq!(scene.count(&target()).await, [0; 4]);
}

/// In one call, those that apply and those that do not.
pub async fn a_batch_has_each_settlement_followed_by_its_own<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let delivered = scene.hold(&worker, &["1", "2", "3", "4", "5"]).await;
    for settled in &delivered[1..3] {
        assert_eq!(scene.settle(&worker, settled, Outcome::Done.into()).await, Settled::Applied);
    }
    let follow = |n: usize| vec![normal(&scene.queue, &format!("own {n}")), normal(&target(), &format!("other {n}"))];
    let mut ends: Vec<_> = (1..=4).map(|n| followed(Outcome::Done, follow(n))).collect();
    ends.push(Outcome::Done.into());
    let mut dead = dead_lettered(Bytes::from("5"), "it failed");
    dead.consequences = follow(5);
    ends[2] = dead;
    let ends: Vec<_> = delivered.iter().map(|delivery| delivery.receipt.clone()).zip(ends).collect();
    let answers = scene.settle_all(&worker, &ends).await;
    assert_eq!(answers, [Settled::Applied, Settled::Stale, Settled::Stale, Settled::Applied, Settled::Applied]);
    scene.relay(&target()).await;
    assert_eq!(texts(&scene.deliver(&worker, 2).await), ["own 1", "own 4"]);
    assert_eq!(scene.count(&target()).await, [2, 0, 0, 0]);
}

/// Cancelling says that it should not have run: what it would have caused does not happen either.
pub async fn what_was_cancelled_in_flight_and_fails_has_nothing_follow<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    scene.cancel(id).await;
    let outcome = Outcome::DeadLetter { id: Some(id), body: delivery.body.clone(), reason: "it failed".to_owned() };
    assert_eq!(
        scene.settle(&worker, &delivery, followed(outcome, vec![normal(&target(), "no")])).await,
        Settled::Cancelled
    );
    scene.relay(&target()).await;
    assert_eq!(scene.count(&target()).await, [0; 4]);
}

/// What frees a slot and a key frees them as without.
pub async fn what_held_a_slot_and_a_key_frees_them_and_is_followed<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    let unique = || Unique::new(Key::new("key").expect("it is short"), Uniqueness::default());
    scene.enqueue(vec![lane("it", "tenant", 1).unique(unique())]).await;
    let delivery = scene.claim_one(&worker).await;
    let again = lane("again", "tenant", 1).unique(unique());
    let follows = vec![send(&scene.queue, again), normal(&scene.queue, "plain"), normal(&target(), "other")];
    assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
    scene.relay(&scene.queue).await;
    scene.relay(&target()).await;
    let mut delivered = texts(&scene.deliver(&worker, 2).await);
    delivered.sort();
    assert_eq!(delivered, ["again", "plain"]);
    assert_eq!(scene.count(&target()).await, [1, 0, 0, 0]);
}

/// It is stored as it would be by a sender: for later, in its lane, holding its key.
pub async fn what_follows_is_scheduled_waits_and_is_unique_as_what_is_sent<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for to in [scene.queue.clone(), target()] {
        let unique = || Unique::new(Key::new("key").expect("it is short"), Uniqueness::default());
        let of = |body: &str| message(body, Priority::Normal);
        let follows = vec![
            send(&to, of("later").after(HOUR)),
            send(&to, lane("in its lane", "tenant", 2)),
            send(&to, of("unique").unique(unique())),
            send(&to, of("unique too").unique(unique())),
            send(&to, of("plain")),
        ];
        let delivery = scene.hold_one(&worker, "it").await;
        assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
        scene.relay(&to).await;
        assert_eq!(scene.count(&to).await, [2, 0, 1, 1], "in {to}: unique and plain; later; in its lane");
        scene.broker.purge(&to, State::Ready).await.expect(REACHED);
    }
}

/// The delay counts from when the run ended.
pub async fn the_delay_of_what_follows_begins_with_the_settlement<H: Harness>(scene: Scene<H>) {
    let (worker, elsewhere) = (scene.worker("worker").await, scene.elsewhere().await);
    let delivery = scene.hold_one(&worker, "it").await;
    let follows = vec![send(&target(), message("later", Priority::Normal).after(DELAY))];
    assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
    scene.advance(DELAY).await;
    scene.relay(&target()).await;
    assert_eq!(texts(&scene.deliver(&elsewhere, 1).await), ["later"]);
}

/// Several relays at once, also of what is added meanwhile.
pub async fn whoever_relays_each_message_arrives_once_and_in_order<H: Harness>(scene: Scene<H>) {
    let (worker, elsewhere) = (scene.worker("worker").await, scene.elsewhere().await);
    let bodies: Vec<_> = (0..600).map(|n| n.to_string()).collect();
    for part in bodies.chunks(200) {
        let delivery = scene.hold_one(&worker, "it").await;
        let follows = part.iter().map(|body| normal(&target(), body)).collect();
        let relay = async || {
            if let Some(outboxes) = scene.broker.outboxes() {
                outboxes.relay(&scene.queue, &target()).await.expect(REACHED);
            }
        };
        let settled = scene.ends(&worker, &delivery, follows);
        let (settled, ..) = tokio::join!(settled, relay(), relay(), relay(), relay());
        assert_eq!(settled, Settled::Applied);
        tokio::join!(relay(), relay(), relay());
    }
    scene.relay(&target()).await;
    assert_eq!(texts(&scene.deliver(&elsewhere, 600).await), bodies);
    scene.delivers_nothing(&elsewhere).await;
}

/// A thousand small ones and one as large as may be.
pub async fn many_and_large_messages_follow_from_one_settlement<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let delivery = scene.hold_one(&worker, "it").await;
    let mut follows: Vec<_> = (0..1_000).map(|n| normal(&target(), &n.to_string())).collect();
    let large = "x".repeat(scene.broker.max_message_bytes());
    follows.extend((0..4).map(|_| normal(&target(), &large)));
    assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
    scene.relay(&target()).await;
    assert_eq!(scene.count(&target()).await, [1_004, 0, 0, 0]);
}

/// What waits in an outbox is seen, and a queue that is paused takes it.
pub async fn what_waits_to_arrive_is_counted_and_a_paused_queue_takes_it<H: Harness>(scene: Scene<H>) {
    let (worker, elsewhere) = (scene.worker("worker").await, scene.elsewhere().await);
    scene.broker.pause(&target()).await.expect(REACHED);
    let delivery = scene.hold_one(&worker, "it").await;
    let follows = vec![normal(&target(), "1"), normal(&target(), "2")];
    assert_eq!(scene.ends(&worker, &delivery, follows).await, Settled::Applied);
    if let Some(outboxes) = scene.broker.outboxes() {
        let waits = outboxes.list_outboxes(&scene.queue).await.expect(REACHED);
        assert_eq!(waits.iter().map(|outbox| (&outbox.to, outbox.messages)).collect::<Vec<_>>(), [(&target(), 2)]);
        assert_eq!(scene.broker.counts(&scene.queue).await.expect(REACHED).outgoing, 2);
        assert_eq!(outboxes.relay(&scene.queue, &target()).await.expect(REACHED), 2);
        assert_eq!(outboxes.relay(&scene.queue, &target()).await.expect(REACHED), 0);
    }
    assert_eq!(scene.count(&target()).await, [2, 0, 0, 0]);
    scene.broker.resume(&target()).await.expect(REACHED);
    assert_eq!(texts(&scene.deliver(&elsewhere, 2).await), ["1", "2"]);
}

/// Those that store the message again have none, and say so.
pub async fn nothing_may_follow_from_what_is_stored_again<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for mut end in [retry("again", Duration::ZERO), release("again")] {
        let delivery = scene.hold_one(&worker, "it").await;
        end.consequences = vec![normal(&target(), "no")];
        let answers = scene.broker.settle(&worker, &[(delivery.receipt.clone(), end)]).await;
        assert!(matches!(&answers[..], [Err(error)] if !error.is_unknown()), "{answers:?}");
        assert_eq!(
            scene.settle(&worker, &delivery, Outcome::Done.into()).await,
            Settled::Applied,
            "it changed nothing"
        );
    }
}
