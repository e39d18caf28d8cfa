//! How a message ended is kept in the step that settles it, and whoever waits for that is told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Harness;
use super::limits::per_key;
use super::scene::{DELAY, HOUR, REACHED, Scene, lane};
use crate::broker::{Broker, Enqueue};
use crate::control::Cancelled;
use crate::delivery::{Consumer, Delivery, Wait};
use crate::inspect::{Inspect, Which};
use crate::results::{Ended, Results, Standing};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::{Limit, MessageId, Priority};

/// Writes a test for each behaviour that a broker promises which keeps [results](crate::results), as
/// [`conformance_tests`](crate::conformance_tests) does for every broker.
#[macro_export]
macro_rules! result_conformance_tests {
    ($harness:expr) => {
        $crate::__conformance_tests! { $harness =>
            results {
                how_a_message_ended_is_kept_in_the_step_that_settles_it
                a_stale_settlement_keeps_nothing
                a_record_is_forgotten_after_its_time
                everyone_who_waits_is_told
                a_wait_ends_at_its_limit_and_when_it_is_stopped
                many_wait_for_messages_that_end_at_once
                a_message_that_was_cancelled_in_flight_has_ended
                a_dead_letter_has_ended_also_without_a_record
                a_replayed_dead_letter_has_not_ended
                what_is_kept_without_a_run_replaces_nothing
                a_message_is_found_in_every_state
                a_message_that_never_was_is_nowhere
                a_message_among_many_is_found_or_may_be_there
            }
        }
    };
}

impl<H: Harness> Scene<H> {
    fn results(&self) -> &dyn Results {
        Broker::results(&*self.broker).expect("this broker keeps results")
    }

    async fn ended(&self, id: MessageId) -> Option<Ended> {
        self.results().read_result(&self.queue, id).await.expect(REACHED)
    }

    async fn finds(&self, id: MessageId) -> Standing {
        self.results().find_message(&self.queue, id).await.expect(REACHED)
    }

    async fn keeps(&self, worker: &Consumer, delivery: &Delivery, outcome: Outcome, id: MessageId) -> Settled {
        self.settle(worker, delivery, keeping(outcome, id, HOUR)).await
    }
}

fn keeping(outcome: Outcome, id: MessageId, keep: Duration) -> Settlement {
    let mut settlement = Settlement::from(outcome);
    settlement.consequences = vec![Consequence::KeepResult { id, record: record(id), keep }];
    settlement
}

/// Bytes that the broker does not understand.
fn record(id: MessageId) -> Bytes {
    format!("\0 it ended: {id}").into()
}

fn recorded(id: MessageId) -> Option<Ended> {
    Some(Ended::Recorded(record(id)))
}

fn dead(id: MessageId, delivery: &Delivery) -> Outcome {
    Outcome::DeadLetter { id: Some(id), body: delivery.body.clone(), reason: "it failed".to_owned() }
}

/// Whether it is done, dead-lettered or cancelled.
pub async fn how_a_message_ended_is_kept_in_the_step_that_settles_it<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for end in 0..3 {
        let (id, delivery) = scene.held(&worker).await;
        let (other, _held) = scene.held(&worker).await;
        assert_eq!(scene.ended(id).await, None);
        let outcome = match end {
            0 => Outcome::Done,
            1 => dead(id, &delivery),
            _ => Outcome::Cancelled { id },
        };
        assert_eq!(scene.keeps(&worker, &delivery, outcome, id).await, Settled::Applied);
        assert_eq!(scene.ended(id).await, recorded(id));
        assert_eq!(scene.ended(other).await, None);
    }
}

/// Only the settlement that counts says how it ended.
pub async fn a_stale_settlement_keeps_nothing<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let (id, delivery) = scene.held(&worker).await;
    scene.end_lease(&worker).await;
    let recovered = scene.recover(&other, 1).await;
    assert_eq!(scene.keeps(&worker, &delivery, dead(id, &delivery), id).await, Settled::Stale);
    assert_eq!(scene.ended(id).await, None);
    assert_eq!(scene.settle(&other, &recovered[0], Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(scene.keeps(&worker, &delivery, Outcome::Done, id).await, Settled::Stale);
    assert_eq!(scene.ended(id).await, None);
}

/// Nothing else takes it away.
pub async fn a_record_is_forgotten_after_its_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, keeping(Outcome::Done, id, DELAY)).await, Settled::Applied);
    assert_eq!(scene.ended(id).await, recorded(id));
    scene.advance(DELAY).await;
    assert_eq!(scene.ended(id).await, None);
}

/// Also who began to wait after the end, and two for one message.
pub async fn everyone_who_waits_is_told<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    let wait = || Wait::new(HOUR);
    let (first, second) = (wait(), wait());
    let waiting = async || scene.results().wait_for_result(&scene.queue, id, &first).await.expect(REACHED);
    let too = async || scene.results().wait_for_result(&scene.queue, id, &second).await.expect(REACHED);
    let end = async {
        scene.advance(DELAY).await;
        scene.keeps(&worker, &delivery, Outcome::Done, id).await
    };
    let (one, other, settled) = tokio::join!(waiting(), too(), end);
    assert_eq!((one, other, settled), (recorded(id), recorded(id), Settled::Applied));
    let late = scene.results().wait_for_result(&scene.queue, id, &wait()).await.expect(REACHED);
    assert_eq!(late, recorded(id));
}

/// It says then what there is.
pub async fn a_wait_ends_at_its_limit_and_when_it_is_stopped<H: Harness>(scene: Scene<H>) {
    let id = MessageId::new();
    for limit in [Duration::ZERO, Duration::from_millis(50)] {
        let waited = scene.results().wait_for_result(&scene.queue, id, &Wait::new(limit)).await;
        assert_eq!(waited.expect(REACHED), None);
    }
    let wait = Wait::new(HOUR);
    let stop = async {
        tokio::task::yield_now().await;
        wait.stop();
    };
    let (waited, ()) = tokio::join!(scene.results().wait_for_result(&scene.queue, id, &wait), stop);
    assert_eq!(waited.expect(REACHED), None);
}

/// Each learns of its own.
pub async fn many_wait_for_messages_that_end_at_once<H: Harness>(scene: Scene<H>) {
    const MANY: usize = 300;
    let worker = scene.worker("worker").await;
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(scene.held(&worker).await);
    }
    let mut waiting = tokio::task::JoinSet::new();
    for (id, _) in &held {
        let (broker, queue, id) = (Arc::clone(&scene.broker), scene.queue.clone(), *id);
        waiting.spawn(async move {
            let results = Broker::results(&*broker).expect("this broker keeps results");
            (id, results.wait_for_result(&queue, id, &Wait::new(HOUR)).await.expect(REACHED))
        });
    }
    let ends = held.iter().map(|(id, delivery)| (delivery.receipt.clone(), keeping(Outcome::Done, *id, HOUR)));
    let settled = scene.settle_all(&worker, &ends.collect::<Vec<_>>()).await;
    assert_eq!(settled, [Settled::Applied; MANY]);
    for (id, ended) in waiting.join_all().await {
        assert_eq!(ended, recorded(id));
    }
}

/// Its worker says so, or a settlement that would store it again ends it.
pub async fn a_message_that_was_cancelled_in_flight_has_ended<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for end in 0..2 {
        let (id, delivery) = scene.held(&worker).await;
        assert_eq!(scene.cancel(id).await, Cancelled::Requested);
        assert_eq!(scene.ended(id).await, None, "it runs");
        let (body, after) = (delivery.body.clone(), Duration::ZERO);
        let settled = match end {
            0 => Outcome::Reschedule { id, priority: Priority::Normal, body, after }.into(),
            _ => keeping(dead(id, &delivery), id, HOUR),
        };
        assert_eq!(scene.settle(&worker, &delivery, settled).await, Settled::Cancelled);
        assert_eq!(scene.ended(id).await, Some(Ended::Cancelled));
    }
}

/// As where its worker did not know its actor.
pub async fn a_dead_letter_has_ended_also_without_a_record<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, dead(id, &delivery).into()).await, Settled::Applied);
    assert_eq!(scene.ended(id).await, Some(Ended::Dead { reason: "it failed".to_owned() }));
    assert_eq!(scene.finds(id).await, Standing::Dead);
}

/// Whoever waits for it again learns of its new end.
pub async fn a_replayed_dead_letter_has_not_ended<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for which in 0..2 {
        let (id, delivery) = scene.held(&worker).await;
        assert_eq!(scene.keeps(&worker, &delivery, dead(id, &delivery), id).await, Settled::Applied);
        assert_eq!(scene.ended(id).await, recorded(id));
        let which = match which {
            0 => Which::All,
            _ => Which::One(scene.list(crate::inspect::State::Dead).await.remove(0).handle),
        };
        assert_eq!(scene.broker.replay(&scene.queue, which).await.expect(REACHED), 1);
        assert_eq!(scene.ended(id).await, None);
        let again = scene.claim_one(&worker).await;
        assert_eq!(scene.keeps(&worker, &again, Outcome::Done, id).await, Settled::Applied);
        assert_eq!(scene.ended(id).await, recorded(id));
    }
}

/// A run that ended just before says more.
pub async fn what_is_kept_without_a_run_replaces_nothing<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.keeps(&worker, &delivery, Outcome::Done, id).await, Settled::Applied);
    let other = MessageId::new();
    for kept in [id, other] {
        scene.results().keep_result(&scene.queue, kept, "cancelled".into(), HOUR).await.expect(REACHED);
    }
    assert_eq!(scene.ended(id).await, recorded(id));
    assert_eq!(scene.ended(other).await, Some(Ended::Recorded("cancelled".into())));
}

/// And once it has ended, in none.
pub async fn a_message_is_found_in_every_state<H: Harness>(scene: Scene<H>) {
    let limited = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    let scheduled = scene.sent("a", HOUR).await;
    let Standing::Scheduled { until } = scene.finds(scheduled).await else { panic!("it is scheduled") };
    let left = until.duration_since(scene.broker.now()).expect("it is not due");
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    let id = scene.sent("a", Duration::ZERO).await;
    assert_eq!(scene.finds(id).await, Standing::Ready);
    let delivery = scene.claim_one(&limited).await;
    let Standing::InFlight { since } = scene.finds(id).await else { panic!("it is in flight") };
    let ago = |since: SystemTime| scene.broker.now().duration_since(since).unwrap_or_default();
    assert!(ago(since) < HOUR, "{:?}", ago(since));
    assert_eq!(scene.settle(&limited, &delivery, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(scene.finds(id).await, Standing::Nowhere);
    let waits = MessageId::new();
    let body = format!(r#"{{"v":1,"id":"{waits}","actor":"a","queue":"conformance","args":[]}}"#);
    scene.enqueue(vec![lane("first", "key", 1), Enqueue { id: waits, ..lane(&body, "key", 1) }]).await;
    let _first = scene.claim_one(&limited).await;
    assert_eq!(scene.finds(waits).await, Standing::Waiting);
}

/// Nothing is there by an id of its own making.
pub async fn a_message_that_never_was_is_nowhere<H: Harness>(scene: Scene<H>) {
    let id = MessageId::new();
    assert_eq!((scene.ended(id).await, scene.finds(id).await), (None, Standing::Nowhere));
    scene.sent("a", Duration::ZERO).await;
    scene.sent("a", HOUR).await;
    assert_eq!((scene.ended(id).await, scene.finds(id).await), (None, Standing::Nowhere));
}

/// More than one call looks at.
pub async fn a_message_among_many_is_found_or_may_be_there<H: Harness>(scene: Scene<H>) {
    let early = scene.sent("a", Duration::ZERO).await;
    scene.send_many("a", 5_000).await;
    let late = scene.sent("a", Duration::ZERO).await;
    assert_eq!(scene.finds(early).await, Standing::Ready);
    for id in [late, MessageId::new()] {
        let found = scene.finds(id).await;
        assert!(matches!(found, Standing::Ready | Standing::Pending | Standing::Nowhere), "{found:?}");
    }
    assert_ne!(scene.finds(late).await, Standing::Nowhere);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_behaviour_is_in_the_macro() {
        let this = include_str!("results.rs");
        let listed: Vec<&str> = this.lines().map(str::trim).collect();
        for behaviour in this.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = behaviour.split_once('<').map_or(behaviour, |(name, _)| name);
            assert!(listed.contains(&name), "`{name}` is not in `result_conformance_tests!`");
        }
    }
}
