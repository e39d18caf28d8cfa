//! Cancelling, deleting and rescheduling what was sent.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{HOUR, REACHED, Scene, dead_lettered, parked, release, texts};
use super::uniqueness::{KEY, key};
use crate::broker::{Broker, Enqueue, Enqueued};
use crate::control::{Cancelled, Change, Changed, Control, Deleted, Filter, Rescheduled};
use crate::delivery::{Consumer, Delivery};
use crate::inspect::{Inspect, State, Which};
use crate::settlement::{Outcome, Settled};
use crate::{MessageId, OnConflict, Priority, Unique, Uniqueness, Until};

/// More than any page has.
pub(super) const MANY: usize = 1_200;

fn body(id: MessageId, actor: &str) -> Bytes {
    format!(r#"{{"v":1,"id":"{id}","actor":"{actor}","queue":"conformance","args":[]}}"#).into()
}

impl<H: Harness> Scene<H> {
    pub(super) async fn sent(&self, actor: &str, delay: Duration) -> MessageId {
        self.sent_at(actor, delay, Priority::Normal).await
    }

    async fn sent_at(&self, actor: &str, delay: Duration, priority: Priority) -> MessageId {
        let id = MessageId::new();
        self.enqueue(vec![Enqueue::new(id, priority, body(id, actor)).after(delay)]).await;
        id
    }

    async fn sent_many(&self, actor: &str, delay: Duration) {
        let message = |id| Enqueue::new(id, Priority::Normal, body(id, actor)).after(delay);
        self.enqueue((0..MANY).map(|_| message(MessageId::new())).collect()).await;
    }

    /// So many that are ready.
    pub(super) async fn send_many(&self, actor: &str, count: usize) {
        let message = |id| Enqueue::new(id, Priority::Normal, body(id, actor));
        self.enqueue((0..count).map(|_| message(MessageId::new())).collect()).await;
    }

    /// A message that is in flight with this worker.
    pub(super) async fn held(&self, worker: &Consumer) -> (MessageId, Delivery) {
        let id = self.sent("a", Duration::ZERO).await;
        (id, self.claim_one(worker).await)
    }

    /// Through the trait object, as the library asks for it.
    pub(super) fn control(&self) -> &dyn Control {
        Broker::control(&*self.broker).expect("this broker controls messages")
    }

    pub(super) async fn cancel(&self, id: MessageId) -> Cancelled {
        self.control().cancel(&self.queue, id).await.expect(REACHED)
    }

    pub(super) async fn delete(&self, id: MessageId) -> Deleted {
        self.control().delete_by_id(&self.queue, id).await.expect(REACHED)
    }

    pub(super) async fn reschedule(&self, id: MessageId, delay: Duration) -> Rescheduled {
        self.control().reschedule(&self.queue, id, delay).await.expect(REACHED)
    }

    pub(super) async fn change_all(&self, change: Change, filter: &Filter) -> Changed {
        self.control().change_all(&self.queue, change, filter).await.expect(REACHED)
    }

    /// A dead letter, by the id that it was dead-lettered under.
    async fn dead(&self) -> MessageId {
        let worker = self.worker("w").await;
        let (id, delivery) = self.held(&worker).await;
        let end = Outcome::DeadLetter { id: Some(id), body: delivery.body.clone(), reason: "it failed".to_owned() };
        assert_eq!(self.settle(&worker, &delivery, end.into()).await, Settled::Applied);
        id
    }
}

/// Only the queue's other messages are delivered after one was cancelled.
pub async fn a_message_that_waits_is_cancelled_and_never_delivered<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        for delay in [Duration::ZERO, HOUR] {
            let id = scene.sent_at("a", delay, priority).await;
            assert_eq!(scene.cancel(id).await, Cancelled::Removed, "{priority:?}, {delay:?}");
            assert_eq!(scene.cancel(id).await, Cancelled::NotFound);
        }
    }
    scene.counts([0, 0, 0, 0]).await;
    let (before, id, after) =
        (scene.sent("b", Duration::ZERO).await, scene.sent("a", Duration::ZERO).await, MessageId::new());
    scene.enqueue(vec![Enqueue::new(after, Priority::Normal, body(after, "b"))]).await;
    assert_eq!(scene.cancel(id).await, Cancelled::Removed);
    let expected = [before, after].map(|id| String::from_utf8(body(id, "b").into()).unwrap_or_default());
    assert_eq!(texts(&scene.deliver(&worker, 2).await), expected);
    scene.delivers_nothing(&worker).await;
}

/// It is delivered to nobody who has what it was parked for.
pub async fn a_parked_message_is_cancelled<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let (id, delivery) = scene.held(&worker).await;
    let Outcome::Park { priority, after, ability, .. } = parked("", "actor:a", HOUR).outcome else { return };
    let park = Outcome::Park { id, priority, body: delivery.body.clone(), after, ability };
    assert_eq!(scene.settle(&worker, &delivery, park.into()).await, Settled::Applied);
    assert_eq!(scene.cancel(id).await, Cancelled::Removed);
    let unparked = scene.broker.unpark(&worker, &["actor:a"], 10).await.expect(REACHED);
    assert_eq!(texts(&unparked), [""; 0]);
}

/// The next renewal says so, of whatever queue it is.
pub async fn the_worker_learns_what_was_cancelled_in_flight<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.renew(&worker).await.cancelled, []);
    for _ in 0..2 {
        assert_eq!(scene.cancel(id).await, Cancelled::Requested);
    }
    let (other, _) = scene.held(&worker).await;
    assert_eq!(scene.renew(&worker).await.cancelled, [(scene.queue.clone(), vec![id])]);
    assert_eq!(scene.cancel(other).await, Cancelled::Requested);
    let learned: Vec<_> = scene.renew(&worker).await.cancelled.into_iter().flat_map(|(_, ids)| ids).collect();
    assert!(learned.contains(&other), "{learned:?}");
    assert_eq!(scene.settle(&worker, &delivery, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(scene.cancel(id).await, Cancelled::NotFound);
}

/// Whatever its worker makes of it, short of a success.
pub async fn what_was_cancelled_in_flight_is_not_stored_again<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let text = |delivery: &Delivery| String::from_utf8_lossy(&delivery.body).into_owned();
    for turn in 0..4 {
        let (id, delivery) = scene.held(&worker).await;
        let (_, other) = scene.held(&worker).await;
        assert_eq!(scene.cancel(id).await, Cancelled::Requested);
        let (body, priority) = (delivery.body.clone(), Priority::Normal);
        let end = match turn {
            0 => Outcome::Reschedule { id, priority, body, after: Duration::ZERO }.into(),
            1 => Outcome::Park { id, priority, body, after: HOUR, ability: "actor:a".to_owned() }.into(),
            2 => Outcome::DeadLetter { id: Some(id), body, reason: "it failed".to_owned() }.into(),
            _ => release(&text(&delivery)),
        };
        let ends = [(delivery.receipt.clone(), end), (other.receipt.clone(), Outcome::Done.into())];
        assert_eq!(scene.settle_all(&worker, &ends).await, [Settled::Cancelled, Settled::Applied], "{:?}", ends[0]);
        assert_eq!(scene.settle_all(&worker, &ends[..1]).await, [Settled::Stale]);
    }
    scene.counts([0, 0, 0, 0]).await;
}

/// Whoever recovers it knows before it runs.
pub async fn a_dead_workers_cancelled_message_is_recovered_as_cancelled<H: Harness>(scene: Scene<H>) {
    let (dead, alive) = (scene.worker("dead").await, scene.worker("alive").await);
    let ((id, _), (_, _)) = (scene.held(&dead).await, scene.held(&dead).await);
    assert_eq!(scene.cancel(id).await, Cancelled::Requested);
    scene.end_lease(&dead).await;
    let recovered = scene.recover(&alive, 10).await;
    assert_eq!(recovered.iter().map(|delivery| delivery.cancelled).collect::<Vec<_>>(), [true, false]);
    for expected in [Settled::Applied, Settled::Stale] {
        assert_eq!(scene.settle(&alive, &recovered[0], Outcome::Cancelled { id }.into()).await, expected);
    }
    scene.counts([0, 1, 0, 0]).await;
}

/// Nothing is left of a cancellation that found nothing, which a message of this id could meet later.
pub async fn a_dead_letter_is_not_cancelled_and_can_be_replayed<H: Harness>(scene: Scene<H>) {
    let id = scene.dead().await;
    for unknown in [id, MessageId::new()] {
        assert_eq!(scene.cancel(unknown).await, Cancelled::NotFound);
    }
    assert_eq!(scene.broker.replay(&scene.queue, Which::All).await.expect(REACHED), 1);
    let worker = scene.worker("x").await;
    let delivery = scene.claim_one(&worker).await;
    let end = dead_lettered(delivery.body.clone(), "again");
    assert_eq!(scene.settle(&worker, &delivery, end).await, Settled::Applied);
}

/// What is in flight ends as its worker says.
pub async fn a_message_is_deleted_by_its_id_unless_it_is_in_flight<H: Harness>(scene: Scene<H>) {
    let dead = scene.dead().await;
    for id in [dead, scene.sent("a", Duration::ZERO).await, scene.sent("a", HOUR).await] {
        assert_eq!(scene.delete(id).await, Deleted::Removed);
        assert_eq!(scene.delete(id).await, Deleted::NotFound);
    }
    let worker = scene.worker("x").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.delete(id).await, Deleted::InFlight);
    assert_eq!(scene.settle(&worker, &delivery, Outcome::Done.into()).await, Settled::Applied);
    scene.counts([0, 0, 0, 0]).await;
}

/// To later, to now, and again to the same.
pub async fn a_message_that_waits_is_rescheduled_by_its_id<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let id = scene.sent_at("a", Duration::ZERO, Priority::High).await;
    for _ in 0..2 {
        assert_eq!(scene.reschedule(id, HOUR).await, Rescheduled::Moved);
        scene.counts([0, 0, 1, 0]).await;
    }
    scene.delivers_nothing(&worker).await;
    assert_eq!(scene.reschedule(id, Duration::ZERO).await, Rescheduled::Moved);
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(delivery.body, body(id, "a"));
    assert_eq!(scene.reschedule(id, Duration::ZERO).await, Rescheduled::InFlight);
    assert_eq!(scene.settle(&worker, &delivery, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(scene.reschedule(id, HOUR).await, Rescheduled::NotFound);
    let id = scene.sent("a", Duration::ZERO).await;
    assert_eq!(scene.reschedule(id, Duration::ZERO).await, Rescheduled::Moved);
    scene.counts([1, 0, 0, 0]).await;
}

/// It is said to be dead.
pub async fn a_dead_letter_is_not_rescheduled<H: Harness>(scene: Scene<H>) {
    let id = scene.dead().await;
    assert_eq!(scene.reschedule(id, Duration::ZERO).await, Rescheduled::Dead);
    scene.counts([0, 0, 0, 1]).await;
}

/// However many pages that takes.
pub async fn all_that_match_are_cancelled_in_every_state<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let (id, _) = scene.held(&worker).await;
    for delay in [Duration::ZERO, HOUR] {
        scene.sent_many("a", delay).await;
        scene.sent("b", delay).await;
    }
    let cancelled = scene.change_all(Change::Cancel, &Filter::new().actor("a")).await;
    assert_eq!((cancelled.changed, cancelled.requested), (2 * MANY as u64, 1));
    scene.counts([1, 1, 1, 0]).await;
    assert_eq!(scene.renew(&worker).await.cancelled, [(scene.queue.clone(), vec![id])]);
}

/// Dead letters too, and in one state alone where that is asked.
pub async fn all_that_match_are_deleted_unless_they_are_in_flight<H: Harness>(scene: Scene<H>) {
    scene.dead().await;
    scene.held(&scene.worker("x").await).await;
    for delay in [Duration::ZERO, HOUR] {
        scene.sent_many("a", delay).await;
        scene.sent("b", delay).await;
    }
    let only_scheduled = Filter::new().actor("a").state(State::Scheduled);
    assert_eq!(scene.change_all(Change::Delete, &only_scheduled).await.changed, MANY as u64);
    assert_eq!(scene.change_all(Change::Delete, &Filter::new().actor("a")).await.changed, MANY as u64 + 1);
    scene.counts([1, 1, 1, 0]).await;
    assert_eq!(scene.change_all(Change::Delete, &Filter::new().state(State::InFlight)).await.changed, 0);
}

/// Each is moved once, though a page may come to what another has moved.
pub async fn all_that_match_are_rescheduled<H: Harness>(scene: Scene<H>) {
    for delay in [Duration::ZERO, HOUR] {
        scene.sent_many("a", delay).await;
        scene.sent("b", delay).await;
    }
    let of_a = Filter::new().actor("a");
    let moved = scene.change_all(Change::Reschedule(2 * HOUR), &of_a).await;
    assert_eq!((moved.changed, moved.next), (2 * MANY as u64, None));
    scene.counts([1, 0, 2 * MANY as u64 + 1, 0]).await;
    assert_eq!(scene.change_all(Change::Reschedule(Duration::ZERO), &of_a).await.changed, 2 * MANY as u64);
    let worker = scene.worker("w").await;
    scene.deliver(&worker, 2 * MANY + 1).await;
    scene.counts([0, 2 * MANY as u64 + 1, 1, 0]).await;
}

/// One page changes a part, and says where the next begins.
pub async fn a_page_is_bounded<H: Harness>(scene: Scene<H>) {
    scene.sent_many("a", Duration::ZERO).await;
    let page = scene.control().change_page(&scene.queue, Change::Cancel, &Filter::new(), None).await.expect(REACHED);
    assert!(page.changed < MANY as u64 && page.next.is_some(), "{page:?}");
}

/// Its name is probably a mistake.
pub async fn control_of_a_queue_that_was_never_used_is_an_error<H: Harness>(scene: Scene<H>) {
    let (control, queue, id) = (scene.control(), &scene.queue, MessageId::new());
    assert!(control.cancel(queue, id).await.is_err_and(|error| error.is_no_such_queue()));
    assert!(control.delete_by_id(queue, id).await.is_err_and(|error| error.is_no_such_queue()));
    assert!(control.reschedule(queue, id, HOUR).await.is_err_and(|error| error.is_no_such_queue()));
    let all = control.change_all(queue, Change::Delete, &Filter::new()).await;
    assert!(all.is_err_and(|error| error.is_no_such_queue()));
}

fn unique(id: MessageId, on_conflict: OnConflict) -> Enqueue {
    let uniqueness = Uniqueness::new(Until::Done, on_conflict);
    Enqueue::new(id, Priority::Normal, body(id, "a")).unique(Unique::new(key(KEY), uniqueness))
}

/// Wherever it is, and whatever becomes of it in flight.
pub async fn what_is_cancelled_or_deleted_frees_its_unique_key<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    for delay in [Duration::ZERO, HOUR] {
        for cancels in [false, true] {
            let id = MessageId::new();
            assert_eq!(scene.store(unique(id, OnConflict::Keep).after(delay)).await, Enqueued::Stored);
            scene.is_held_by(id).await;
            if cancels {
                assert_eq!(scene.cancel(id).await, Cancelled::Removed);
            } else {
                assert_eq!(scene.delete(id).await, Deleted::Removed);
            }
            scene.is_free().await;
        }
    }
    for turn in 0..6 {
        let (id, priority) = (MessageId::new(), Priority::Normal);
        assert_eq!(scene.store(unique(id, OnConflict::Keep)).await, Enqueued::Stored);
        let delivery = scene.claim_one(&worker).await;
        assert_eq!(scene.cancel(id).await, Cancelled::Requested);
        let body = delivery.body.clone();
        let (end, settled) = match turn {
            0 => (Outcome::Reschedule { id, priority, body, after: HOUR }, Settled::Cancelled),
            1 => (Outcome::Park { id, priority, body, after: HOUR, ability: "a".to_owned() }, Settled::Cancelled),
            2 => (Outcome::DeadLetter { id: Some(id), body, reason: "it failed".to_owned() }, Settled::Cancelled),
            3 => (Outcome::Release { body }, Settled::Cancelled),
            4 => (Outcome::Cancelled { id }, Settled::Applied),
            _ => (Outcome::Done, Settled::Applied),
        };
        scene.is_held_by(id).await;
        assert_eq!(scene.settle(&worker, &delivery, end.into()).await, settled, "{turn}");
        scene.is_free().await;
    }
    scene.counts([0, 0, 0, 0]).await;
}

/// From one state to another, and to the end of its run.
pub async fn a_rescheduled_message_keeps_its_unique_key<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    let id = MessageId::new();
    assert_eq!(scene.store(unique(id, OnConflict::Keep)).await, Enqueued::Stored);
    for delay in [HOUR, HOUR / 2, Duration::ZERO] {
        assert_eq!(scene.reschedule(id, delay).await, Rescheduled::Moved);
        scene.is_held_by(id).await;
    }
    let delivery = scene.claim_one(&worker).await;
    scene.is_held_by(id).await;
    assert_eq!(scene.end(&worker, &delivery).await, Settled::Applied);
    scene.is_free().await;
}

/// Its time has come before, and it still waits for the end of the other one's run.
pub async fn what_follows_a_message_is_rescheduled_and_cancelled_behind_it<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("w").await;
    for ends in [false, true] {
        let (first, second) = (MessageId::new(), MessageId::new());
        assert_eq!(scene.store(unique(first, OnConflict::Replace)).await, Enqueued::Stored);
        let running = scene.claim_one(&worker).await;
        assert_eq!(scene.store(unique(second, OnConflict::Replace).after(HOUR)).await, Enqueued::Stored);
        assert_eq!(scene.reschedule(second, Duration::ZERO).await, Rescheduled::Moved);
        scene.delivers_nothing(&worker).await;
        scene.is_held_by(first).await;
        if ends {
            assert_eq!(scene.cancel(second).await, Cancelled::Removed);
        }
        assert_eq!(scene.end(&worker, &running).await, Settled::Applied);
        if !ends {
            let running = scene.claim_one(&worker).await;
            assert_eq!(running.body, body(second, "a"));
            assert_eq!(scene.end(&worker, &running).await, Settled::Applied);
        }
        scene.is_free().await;
        scene.counts([0, 0, 0, 0]).await;
    }
}
