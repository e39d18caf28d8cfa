//! What is kept of a message beside it is written by whoever holds it, and ends in time or with it.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene};
use crate::MessageId;
use crate::broker::Broker;
use crate::delivery::{Consumer, Delivery};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::state::States;

/// Writes a test for each behaviour that a broker promises which keeps [states](crate::state), as
/// [`conformance_tests`](crate::conformance_tests) does for every broker.
#[macro_export]
macro_rules! state_conformance_tests {
    ($harness:expr) => {
        $crate::__conformance_tests! { $harness =>
            states {
                fields_are_set_one_by_one_and_kept_over_a_retry
                only_the_holder_sets_fields
                fields_end_after_their_time
                fields_are_forgotten_in_the_step_that_settles
                a_stale_settlement_forgets_nothing
            }
        }
    };
}

impl<H: Harness> Scene<H> {
    fn states(&self) -> &dyn States {
        Broker::states(&*self.broker).expect("this broker keeps states")
    }

    async fn set_fields(
        &self,
        worker: &Consumer,
        delivery: &Delivery,
        id: MessageId,
        fields: &[(&str, &str)],
        keep: Duration,
    ) -> bool {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes()));
        let fields: Vec<_> = fields.iter().map(field).collect();
        self.states().set(worker, &delivery.receipt, id, &fields, keep).await.expect(REACHED)
    }

    async fn fields(&self, id: MessageId) -> Vec<String> {
        let fields = self.states().get(&self.queue, id).await.expect(REACHED);
        let mut shown: Vec<_> =
            fields.into_iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value))).collect();
        shown.sort();
        shown
    }

    async fn state(&self, worker: &Consumer) -> (MessageId, Delivery) {
        let (id, delivery) = self.held(worker).await;
        assert!(self.set_fields(worker, &delivery, id, &[("a", "1")], HOUR).await);
        (id, delivery)
    }
}

fn forgetting(id: MessageId, outcome: Outcome) -> Settlement {
    let mut settlement = Settlement::from(outcome);
    settlement.consequences = vec![Consequence::ForgetState(id)];
    settlement
}

/// Each write leaves the other fields, and so do a retry and the next delivery.
pub async fn fields_are_set_one_by_one_and_kept_over_a_retry<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.held(&worker).await;
    assert_eq!(scene.fields(id).await, [""; 0]);
    assert!(scene.set_fields(&worker, &delivery, id, &[("a", "1"), ("b", "\0 {}")], HOUR).await);
    assert!(scene.set_fields(&worker, &delivery, id, &[("b", "2"), ("c", "")], HOUR).await);
    assert_eq!(scene.fields(id).await, ["a=1", "b=2", "c="]);
    let (priority, after) = (crate::Priority::Normal, Duration::ZERO);
    let retry = Outcome::Reschedule { id, priority, body: delivery.body.clone(), after };
    assert_eq!(scene.settle(&worker, &delivery, retry.into()).await, Settled::Applied);
    let again = scene.claim_one(&worker).await;
    assert!(scene.set_fields(&worker, &again, id, &[("a", "3")], HOUR).await);
    assert_eq!(scene.fields(id).await, ["a=3", "b=2", "c="]);
    assert_eq!(scene.fields(MessageId::new()).await, [""; 0]);
}

/// Not who has settled the message, nor who has lost it.
pub async fn only_the_holder_sets_fields<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let (id, delivery) = scene.state(&worker).await;
    assert!(!scene.set_fields(&other, &delivery, id, &[("a", "no")], HOUR).await);
    scene.end_lease(&worker).await;
    let recovered = scene.recover(&other, 1).await;
    assert!(!scene.set_fields(&worker, &delivery, id, &[("a", "no")], HOUR).await);
    assert!(scene.set_fields(&other, &recovered[0], id, &[("a", "2")], HOUR).await);
    assert_eq!(scene.settle(&other, &recovered[0], Outcome::Done.into()).await, Settled::Applied);
    assert!(!scene.set_fields(&other, &recovered[0], id, &[("a", "no")], HOUR).await);
    assert_eq!(scene.fields(id).await, ["a=2"]);
}

/// Counted from the last write.
pub async fn fields_end_after_their_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (id, delivery) = scene.state(&worker).await;
    assert!(scene.set_fields(&worker, &delivery, id, &[("b", "2")], DELAY).await);
    assert_eq!(scene.fields(id).await, ["a=1", "b=2"]);
    scene.advance(DELAY).await;
    assert_eq!(scene.fields(id).await, [""; 0]);
}

/// However the message ends.
pub async fn fields_are_forgotten_in_the_step_that_settles<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let (kept, _held) = scene.state(&worker).await;
    for end in 0..3 {
        let (id, delivery) = scene.state(&worker).await;
        let body = delivery.body.clone();
        let outcome = match end {
            0 => Outcome::Done,
            1 => Outcome::DeadLetter { id: Some(id), body, reason: "it failed".to_owned() },
            _ => Outcome::Cancelled { id },
        };
        assert_eq!(scene.settle(&worker, &delivery, forgetting(id, outcome)).await, Settled::Applied);
        assert_eq!(scene.fields(id).await, [""; 0]);
    }
    assert_eq!(scene.fields(kept).await, ["a=1"]);
}

/// They are the present holder's.
pub async fn a_stale_settlement_forgets_nothing<H: Harness>(scene: Scene<H>) {
    let (worker, other) = (scene.worker("worker").await, scene.worker("other").await);
    let (id, delivery) = scene.state(&worker).await;
    scene.end_lease(&worker).await;
    scene.recover(&other, 1).await;
    let outcome = Outcome::DeadLetter { id: Some(id), body: delivery.body.clone(), reason: "it failed".to_owned() };
    assert_eq!(scene.settle(&worker, &delivery, forgetting(id, outcome)).await, Settled::Stale);
    assert_eq!(scene.fields(id).await, ["a=1"]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_behaviour_is_in_the_macro() {
        let this = include_str!("states.rs");
        let listed: Vec<&str> = this.lines().map(str::trim).collect();
        for behaviour in this.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = behaviour.split_once('<').map_or(behaviour, |(name, _)| name);
            assert!(listed.contains(&name), "`{name}` is not in `state_conformance_tests!`");
        }
    }
}
