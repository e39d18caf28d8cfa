//! Messages of one unique key exclude one another, and an idempotency key makes sending safe to repeat.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene, dead_lettered, message, parked, release, retry, text};
use crate::broker::{Broker, Enqueue, Enqueued};
use crate::delivery::{Consumer, Delivery};
use crate::inspect::{Inspect, State, Which};
use crate::settlement::{Outcome, Settled};
use crate::{Idempotency, Key, MessageId, OnConflict, Priority, Unique, Uniqueness, Until};

pub(super) const KEY: &str = "reindex:17";

pub(super) fn key(text: &str) -> Key {
    Key::new(text).expect("it is short")
}

pub(super) fn unique(body: &str, until: Until, on_conflict: OnConflict) -> Enqueue {
    message(body, Priority::Normal).unique(Unique::new(key(KEY), Uniqueness::new(until, on_conflict)))
}

pub(super) fn until_done(body: &str, on_conflict: OnConflict) -> Enqueue {
    unique(body, Until::Done, on_conflict)
}

/// A body that says what it holds, as those of senders do.
fn stored(id: MessageId, until: &str) -> String {
    format!(
        r#"{{"v":2,"id":"{id}","actor":"reindex","queue":"conformance","args":[17],"unique":{{"key":"{KEY}","until":"{until}"}}}}"#
    )
}

impl<H: Harness> Scene<H> {
    pub(super) async fn store(&self, message: Enqueue) -> Enqueued {
        let mut answers = self.broker.enqueue(&self.queue, vec![message]).await;
        answers.pop().expect("one message gets one answer").expect(REACHED)
    }

    /// Stores a message that is unique, until it is done, and keeps what there is.
    pub(super) async fn keep(&self, body: &str) -> Enqueued {
        self.store(until_done(body, OnConflict::Keep)).await
    }

    /// Asserts that the key is held by this message.
    pub(super) async fn is_held_by(&self, id: MessageId) {
        assert_eq!(self.keep("another").await, Enqueued::Existing(id), "the key is held by another");
    }

    /// Asserts that nobody holds the key: a message takes it, and is deleted.
    pub(super) async fn is_free(&self) {
        assert_eq!(self.keep("probe").await, Enqueued::Stored, "the key is still held");
        for state in [State::Ready, State::Scheduled] {
            for listed in self.list(state).await.into_iter().filter(|listed| text(&listed.body) == "probe") {
                assert!(self.broker.delete(&self.queue, state, &listed.handle).await.expect(REACHED));
            }
        }
    }

    pub(super) async fn end(&self, worker: &Consumer, delivery: &Delivery) -> Settled {
        self.settle(worker, delivery, Outcome::Done.into()).await
    }

    pub(super) async fn begin(&self, worker: &Consumer, delivery: &Delivery) -> Settled {
        let mut answers = self.broker.begin(worker, std::slice::from_ref(&delivery.receipt)).await;
        answers.pop().expect("one receipt gets one answer").expect(REACHED)
    }
}

/// The sender is told which message stands for its own.
pub async fn a_message_whose_key_is_held_is_not_stored<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let first = until_done("1", OnConflict::Keep);
    let id = first.id;
    assert_eq!(scene.store(first).await, Enqueued::Stored);
    scene.is_held_by(id).await;
    let other = Unique::new(key("reindex:18"), Uniqueness::default());
    assert_eq!(scene.store(message("other", Priority::Low).unique(other)).await, Enqueued::Stored);
    scene.counts([2, 0, 0, 0]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "1");
    scene.is_held_by(id).await;
    assert_eq!(scene.end(&worker, &delivery).await, Settled::Applied);
    assert_eq!(scene.keep("2").await, Enqueued::Stored);
    scene.counts([2, 0, 0, 0]).await;
}

/// Of a call too.
pub async fn of_messages_of_one_key_in_one_call_the_first_is_stored<H: Harness>(scene: Scene<H>) {
    let messages: Vec<_> = ["1", "2", "3"].map(|body| until_done(body, OnConflict::Keep)).into();
    let first = messages[0].id;
    let answers = scene.broker.enqueue(&scene.queue, messages).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect(REACHED)).collect();
    assert_eq!(answers, [Enqueued::Stored, Enqueued::Existing(first), Enqueued::Existing(first)]);
    scene.counts([1, 0, 0, 0]).await;
}

/// However many send at once.
pub async fn of_concurrent_senders_of_one_key_one_is_new<H: Harness>(scene: Scene<H>) {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..32_u32 {
        let (broker, queue) = (Arc::clone(&scene.broker), scene.queue.clone());
        let delay = if sender % 2 == 0 { Duration::ZERO } else { HOUR };
        senders.spawn(async move {
            let message = until_done(&sender.to_string(), OnConflict::Keep).after(delay);
            let id = message.id;
            let answer = broker.enqueue(&queue, vec![message]).await.pop();
            (id, answer.expect("one message gets one answer").expect(REACHED))
        });
    }
    let answers = senders.join_all().await;
    let new: Vec<_> = answers.iter().filter(|(_, answer)| *answer == Enqueued::Stored).collect();
    assert_eq!(new.len(), 1, "{answers:?}");
    let others = answers.iter().filter(|(id, _)| *id != new[0].0);
    assert!(others.into_iter().all(|(_, answer)| *answer == Enqueued::Existing(new[0].0)), "{answers:?}");
}

/// Also while it waits for its time, for a retry, for a worker with an ability, after a release and a recovery.
pub async fn a_key_is_held_wherever_its_message_is<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let first = until_done("1", OnConflict::Keep).after(DELAY);
    let id = first.id;
    scene.store(first).await;
    scene.is_held_by(id).await;
    scene.advance(DELAY).await;
    let delivery = scene.claim_one(&worker).await;
    scene.is_held_by(id).await;
    assert_eq!(scene.settle(&worker, &delivery, retry("2", DELAY)).await, Settled::Applied);
    scene.is_held_by(id).await;
    scene.advance(DELAY).await;
    let delivery = scene.claim_one(&worker).await;
    scene.settle(&worker, &delivery, release("3")).await;
    scene.is_held_by(id).await;
    let delivery = scene.claim_one(&worker).await;
    scene.settle(&worker, &delivery, parked("4", "actor:late", HOUR)).await;
    scene.is_held_by(id).await;
    let unparked = scene.broker.unpark(&worker, &["actor:late"], 1).await.expect(REACHED);
    assert_eq!(unparked.len(), 1);
    scene.is_held_by(id).await;
    scene.end_lease(&worker).await;
    let recovered = scene.recover(&other, 1).await;
    assert_eq!(recovered.len(), 1);
    scene.is_held_by(id).await;
    assert_eq!(scene.end(&other, &recovered[0]).await, Settled::Applied);
    scene.is_free().await;
}

/// What a worker says of a delivery that it lost frees nothing, and neither does a message of another key.
pub async fn no_other_settlement_frees_a_key<H: Harness>(scene: Scene<H>) {
    let (old, new) = (scene.worker("old").await, scene.worker("new").await);
    let first = until_done("1", OnConflict::Keep);
    let id = first.id;
    scene.store(first).await;
    let late = scene.claim_one(&old).await;
    let plain = scene.hold_one(&new, "plain").await;
    assert_eq!(scene.end(&new, &plain).await, Settled::Applied);
    scene.is_held_by(id).await;
    scene.end_lease(&old).await;
    let recovered = scene.recover(&new, 1).await;
    for end in [retry("late", DELAY), dead_lettered(Bytes::from_static(b"late"), "late"), release("late")] {
        assert_eq!(scene.settle(&old, &late, end).await, Settled::Stale);
        scene.is_held_by(id).await;
    }
    assert_eq!(scene.begin(&old, &late).await, Settled::Stale);
    scene.is_held_by(id).await;
    assert_eq!(scene.end(&new, &recovered[0]).await, Settled::Applied);
    let second = until_done("2", OnConflict::Keep);
    let id = second.id;
    assert_eq!(scene.store(second).await, Enqueued::Stored);
    assert_eq!(scene.end(&new, &recovered[0]).await, Settled::Stale);
    assert_eq!(scene.end(&old, &late).await, Settled::Stale);
    scene.is_held_by(id).await;
}

/// By hand, each way.
pub async fn a_deleted_message_frees_its_key<H: Harness>(scene: Scene<H>) {
    for (delay, state) in [(Duration::ZERO, State::Ready), (HOUR, State::Scheduled)] {
        scene.store(until_done("1", OnConflict::Keep).after(delay)).await;
        let listed = scene.list(state).await;
        assert!(scene.broker.delete(&scene.queue, state, &listed[0].handle).await.expect(REACHED));
        scene.is_free().await;
        scene.store(until_done("1", OnConflict::Keep).after(delay)).await;
        assert_eq!(scene.broker.purge(&scene.queue, state).await.expect(REACHED), 1);
        scene.is_free().await;
    }
}

/// A replay takes the key again, or says who holds it.
pub async fn a_dead_letter_holds_no_key_and_its_replay_takes_it_again<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let id = MessageId::new();
    let body = stored(id, "done");
    let unique = Unique::new(key(KEY), Uniqueness::default());
    scene.store(Enqueue::new(id, Priority::Normal, body.clone().into()).unique(unique)).await;
    let delivery = scene.claim_one(&worker).await;
    let dead = Outcome::DeadLetter { id: Some(id), body: body.into(), reason: "it failed".to_owned() };
    assert_eq!(scene.settle(&worker, &delivery, dead.into()).await, Settled::Applied);
    let second = until_done("2", OnConflict::Keep);
    let holder = second.id;
    assert_eq!(scene.store(second).await, Enqueued::Stored, "a dead letter holds its key");
    let handle = scene.list(State::Dead).await.remove(0).handle;
    let refused = scene.broker.replay(&scene.queue, Which::One(handle.clone())).await;
    assert_eq!(refused.expect_err("the key is held").held_by(), Some(holder));
    assert_eq!(scene.broker.replay(&scene.queue, Which::All).await.expect(REACHED), 0);
    scene.counts([1, 0, 0, 1]).await;
    let delivery = scene.claim_one(&worker).await;
    scene.end(&worker, &delivery).await;
    assert_eq!(scene.broker.replay(&scene.queue, Which::One(handle)).await.expect(REACHED), 1);
    scene.is_held_by(id).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.end(&worker, &delivery).await, Settled::Applied);
    scene.is_free().await;
}

/// From then on another one may wait beside the run.
pub async fn a_key_until_the_start_is_free_once_the_run_begins<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let send = |body| scene.store(unique(body, Until::Started, OnConflict::Keep));
    assert_eq!(send("1").await, Enqueued::Stored);
    let first = scene.claim_one(&worker).await;
    assert!(matches!(send("2").await, Enqueued::Existing(_)), "it has not begun");
    assert_eq!(scene.begin(&worker, &first).await, Settled::Applied);
    assert_eq!(send("2").await, Enqueued::Stored);
    let second = scene.claim_one(&worker).await;
    // The end and a further attempt of the first say nothing of the second.
    assert_eq!(scene.begin(&worker, &first).await, Settled::Applied);
    assert_eq!(scene.settle(&worker, &first, retry("1", Duration::ZERO)).await, Settled::Applied);
    let first = scene.claim_one(&worker).await;
    assert_eq!(scene.begin(&worker, &first).await, Settled::Applied);
    assert_eq!(scene.end(&worker, &first).await, Settled::Applied);
    assert!(matches!(send("3").await, Enqueued::Existing(_)), "the second holds it");
    assert_eq!(scene.end(&worker, &second).await, Settled::Applied);
    assert_eq!(scene.begin(&worker, &second).await, Settled::Stale);
    scene.is_free().await;
}

/// Whatever becomes of the message.
pub async fn a_window_begins_when_its_message_is_stored_and_lasts_for_its_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let send = |body| scene.store(unique(body, Until::Window(4 * DELAY), OnConflict::Keep));
    assert_eq!(send("1").await, Enqueued::Stored);
    assert!(matches!(send("2").await, Enqueued::Existing(_)));
    let delivery = scene.claim_one(&worker).await;
    scene.end(&worker, &delivery).await;
    assert!(matches!(send("3").await, Enqueued::Existing(_)), "it ended with its message");
    scene.advance(4 * DELAY).await;
    assert_eq!(send("4").await, Enqueued::Stored);
    scene.counts([1, 0, 0, 0]).await;
}

/// Also once that is done. The key of another message is another.
pub async fn an_idempotency_key_stores_one_message_in_its_window<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let order =
        |body: &str| message(body, Priority::Normal).idempotent(Idempotency::new(key("order-17")).window(4 * DELAY));
    let first = order("1");
    let id = first.id;
    assert_eq!(scene.store(first.clone()).await, Enqueued::Stored);
    assert_eq!(scene.store(first).await, Enqueued::Existing(id), "a repeated request names its own message");
    assert_eq!(scene.store(order("2").after(HOUR)).await, Enqueued::Existing(id));
    let other = message("other", Priority::Low).idempotent(Idempotency::new(key("order-18")));
    assert_eq!(scene.store(other).await, Enqueued::Stored);
    let delivery = scene.claim_one(&worker).await;
    scene.end(&worker, &delivery).await;
    assert_eq!(scene.store(order("3")).await, Enqueued::Existing(id), "it ended with its message");
    scene.advance(4 * DELAY).await;
    assert_eq!(scene.store(order("4")).await, Enqueued::Stored);
    scene.counts([2, 0, 0, 0]).await;
}

/// A repeated request is answered as the first was.
pub async fn an_idempotency_key_remembers_what_stands_for_its_message<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let first = until_done("1", OnConflict::Keep);
    let id = first.id;
    scene.store(first).await;
    let order = || until_done("2", OnConflict::Keep).idempotent(Idempotency::new(key("order-17")));
    assert_eq!(scene.store(order()).await, Enqueued::Existing(id));
    let delivery = scene.claim_one(&worker).await;
    scene.end(&worker, &delivery).await;
    assert_eq!(scene.store(order()).await, Enqueued::Existing(id));
    scene.counts([0, 0, 0, 0]).await;
}
