//! Workers die, and others recover what they held.

use std::collections::BTreeSet;
use std::slice;
use std::time::Duration;

use super::Harness;
use super::scene::{LEASE, Scene, dead_lettered, message, release, retry, texts};
use crate::broker::Broker;
use crate::delivery::Renewal;
use crate::settlement::{Outcome, Settled};
use crate::{MessageId, Priority, QueueName};

/// A worker that was killed says nothing more; its lease ends, and the next takes what it held.
pub async fn a_dead_workers_messages_are_recovered_oldest_first<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (killed, other) = (scene.worker("killed").await, scene.worker("other").await);
    scene.send(&["1", "2", "3", "4"]).await;
    scene.deliver(&killed, 2).await;
    scene.deliver(&killed, 1).await;
    scene.end_lease(&killed).await;
    let recovered = scene.recover(&other, 2).await;
    assert_eq!(texts(&recovered), ["1", "2"]);
    assert!(recovered.iter().all(|delivery| delivery.crashes == 1), "{recovered:?}");
    assert_eq!(texts(&scene.recover(&other, 100).await), ["3"]);
    assert_eq!(texts(&scene.recover(&other, 100).await), [""; 0]);
    scene.counts([1, 3, 0, 0]).await;
    for delivery in &recovered {
        assert_eq!(scene.settle(&other, delivery, Outcome::Done.into()).await, Settled::Applied);
    }
}

/// A message that kills its workers is known by it.
pub async fn every_death_counts_as_a_crash<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let first = scene.worker("first").await;
    scene.send(&["poison"]).await;
    scene.claim_one(&first).await;
    scene.end_lease(&first).await;
    for crashes in 1..=4 {
        let next = scene.worker("next").await;
        let recovered = scene.recover(&next, 1).await;
        assert_eq!(recovered.iter().map(|delivery| delivery.crashes).collect::<Vec<_>>(), [crashes]);
        scene.end_lease(&next).await;
    }
}

/// Nobody could renew while the storage was away.
pub async fn a_lease_that_ended_within_the_grace_is_held<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    let recovered = scene.recover_with(&other, LEASE).await;
    assert_eq!(texts(&recovered), [""; 0]);
    assert!(scene.renew(&late).await.held);
    assert_eq!(scene.settle(&late, &delivery, retry("it", LEASE)).await, Settled::Applied);
    // The grace is for others: of a worker's own lease it says nothing.
    scene.send(&["more"]).await;
    scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    scene.end_lease(&other).await;
    assert_eq!(texts(&scene.recover_with(&other, Duration::from_secs(3600)).await), [""; 0]);
    let heir = scene.worker("heir").await;
    assert_eq!(texts(&scene.recover(&heir, 100).await), ["more"]);
}

/// Its next crash may dead-letter it, so that it must not wait in the hands of a worker that runs others.
pub async fn what_a_dead_worker_held_before_is_recovered_last_and_by_itself<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (first, second) = (scene.worker("first").await, scene.worker("second").await);
    scene.send(&["1", "2", "3", "4", "5"]).await;
    scene.deliver(&first, 3).await;
    scene.end_lease(&first).await;
    assert_eq!(texts(&scene.recover(&second, 2).await), ["1", "2"]);
    scene.deliver(&second, 2).await;
    scene.end_lease(&second).await;
    let heir = scene.worker("heir").await;
    let mut step = scene.recover(&heir, 100).await;
    step.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(texts(&step), ["3", "4", "5"]);
    assert!(step.iter().all(|delivery| delivery.crashes == 1), "{step:?}");
    for expected in ["1", "2"] {
        let step = scene.recover(&heir, 100).await;
        assert_eq!(texts(&step), [expected]);
        assert_eq!(step[0].crashes, 2);
    }
    assert_eq!(texts(&scene.recover(&heir, 100).await), [""; 0]);
}

/// Nobody would recover.
pub async fn recovery_of_none_declares_nobody_dead<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    assert_eq!(texts(&scene.recover(&other, 0).await), [""; 0]);
    assert!(scene.renew(&late).await.held);
    assert_eq!(scene.settle(&late, &delivery, retry("it", LEASE)).await, Settled::Applied);
}

/// However long it holds it.
pub async fn what_a_living_worker_holds_is_not_recovered<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (living, killed, other) =
        (scene.worker("living").await, scene.worker("killed").await, scene.worker("other").await);
    scene.send(&["held", "left", "own"]).await;
    for worker in [&living, &killed, &other] {
        scene.deliver(worker, 1).await;
    }
    scene.end_lease(&killed).await;
    assert_eq!(texts(&scene.recover(&other, 100).await), ["left"]);
    assert_eq!(texts(&scene.recover(&living, 100).await), [""; 0]);
    assert_eq!(scene.renew(&living).await, Renewal::held());
}

/// However they race.
pub async fn recoverers_at_once_never_share_a_message<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (killed, a, b) = (scene.worker("killed").await, scene.worker("a").await, scene.worker("b").await);
    scene.enqueue((0..100).map(|number| message(&format!("{number}"), Priority::Normal)).collect()).await;
    scene.deliver(&killed, 100).await;
    scene.end_lease(&killed).await;
    let mut recovered = Vec::new();
    loop {
        let (by_a, by_b) = tokio::join!(scene.recover(&a, 7), scene.recover(&b, 7));
        if by_a.is_empty() && by_b.is_empty() {
            break;
        }
        recovered.extend(by_a.into_iter().chain(by_b));
    }
    assert_eq!(recovered.len(), 100);
    assert_eq!(texts(&recovered).into_iter().collect::<BTreeSet<_>>().len(), 100);
    assert!(recovered.iter().all(|delivery| delivery.crashes == 1));
}

/// A storage that was away, or a worker that was held up for a moment, loses no work.
pub async fn a_lease_that_ended_unnoticed_is_prolonged<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    assert_eq!(scene.renew(&late).await, Renewal::held());
    assert_eq!(texts(&scene.recover(&other, 100).await), [""; 0]);
    assert_eq!(scene.settle(&late, &delivery, release("it")).await, Settled::Applied);
}

/// It must learn that others run its messages; a new session of it begins with a lease.
pub async fn a_worker_declared_dead_has_lost_its_lease<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    scene.send(&["1", "2"]).await;
    scene.deliver(&late, 2).await;
    scene.end_lease(&late).await;
    scene.recover(&other, 1).await;
    assert_eq!(scene.renew(&late).await, Renewal::lost());
    assert_eq!(scene.renew(&late).await, Renewal::lost());
    assert_eq!(texts(&scene.recover(&other, 100).await), ["2"]);
    let again = scene.worker("late").await;
    assert_eq!(scene.renew(&again).await, Renewal::held());
}

/// It might get back what it had lost before, and its late answer to the first delivery of it would
/// count for the second.
pub async fn a_worker_whose_lease_has_ended_recovers_nothing<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, killed, other) = (scene.worker("late").await, scene.worker("killed").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    scene.recover(&killed, 1).await;
    scene.end_lease(&killed).await;
    assert_eq!(texts(&scene.recover(&late, 100).await), [""; 0], "it was declared dead");
    assert_eq!(scene.settle(&late, &delivery, release("it, as it was")).await, Settled::Stale);
    let ended = scene.worker("ended").await;
    scene.end_lease(&ended).await;
    assert_eq!(texts(&scene.recover(&ended, 100).await), [""; 0], "its lease has ended unnoticed");
    assert_eq!(scene.recover(&other, 100).await[0].crashes, 2);
}

/// A worker has one session at all its queues.
pub async fn a_lease_lost_at_one_queue_is_lost<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (late, other) = (scene.worker("late").await, scene.worker("other").await);
    let queues = [QueueName::declared("conformance.second"), scene.queue.clone()];
    scene.broker.register(&late.worker, slice::from_ref(&queues[0]), LEASE).await.expect("it can be reached");
    let renew = || async { scene.broker.renew(&late.worker, &queues, LEASE).await.expect("it can be reached") };
    assert_eq!(renew().await, Renewal::held());
    scene.send(&["it"]).await;
    scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    assert_eq!(scene.recover(&other, 1).await.len(), 1);
    assert_eq!(renew().await, Renewal::lost());
}

/// Whatever became of its entry: what it holds must not be stranded.
pub async fn a_worker_without_a_lease_is_dead<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (unregistered, other) = (scene.unregistered("unregistered"), scene.worker("other").await);
    scene.send(&["it"]).await;
    scene.claim_one(&unregistered).await;
    let recovered = scene.recover(&other, 100).await;
    assert_eq!(texts(&recovered), ["it"]);
    assert_eq!(recovered[0].crashes, 1);
}

/// An orderly stop lets nothing wait for a lease to end.
pub async fn a_deregistered_workers_messages_are_recovered_at_once<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (stopped, other) = (scene.worker("stopped").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    scene.claim_one(&stopped).await;
    let queues = slice::from_ref(&scene.queue);
    scene.broker.deregister(&stopped.worker, queues).await.expect("it can be reached");
    assert_eq!(texts(&scene.recover(&other, 100).await), ["it"]);
    scene.broker.deregister(&stopped.worker, queues).await.expect("deregistering twice is no error");
}

/// The work is done, whoever did it. The one who ran it too learns that nothing is left to say.
pub async fn a_late_success_counts_and_the_new_holders_does_not<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (zombie, other) = (scene.worker("zombie").await, scene.worker("other").await);
    scene.send(&["1", "2"]).await;
    let late = scene.deliver(&zombie, 2).await;
    scene.end_lease(&zombie).await;
    let recovered = scene.recover(&other, 100).await;
    assert_eq!(texts(&recovered), ["1", "2"]);
    for delivery in &late {
        assert_eq!(scene.settle(&zombie, delivery, Outcome::Done.into()).await, Settled::Applied);
    }
    scene.counts([0, 0, 0, 0]).await;
    assert_eq!(scene.settle(&other, &recovered[0], Outcome::Done.into()).await, Settled::Stale);
    assert_eq!(scene.settle(&other, &recovered[1], retry("2", Duration::ZERO)).await, Settled::Stale);
    scene.counts([0, 0, 0, 0]).await;
}

/// It says nothing about the run of the worker that has the message now.
pub async fn a_late_failure_changes_nothing<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (zombie, other) = (scene.worker("zombie").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let late = scene.claim_one(&zombie).await;
    scene.end_lease(&zombie).await;
    let recovered = scene.recover(&other, 100).await;
    for end in [retry("it", Duration::ZERO), dead_lettered("it".into(), "it failed"), release("it")] {
        assert_eq!(scene.settle(&zombie, &late, end).await, Settled::Stale);
    }
    scene.counts([0, 1, 0, 0]).await;
    assert_eq!(scene.settle(&other, &recovered[0], retry("it", LEASE)).await, Settled::Applied);
    assert_eq!(scene.settle(&zombie, &late, Outcome::Done.into()).await, Settled::Stale);
    scene.counts([0, 0, 1, 0]).await;
}

/// So that nobody has to look for the dead at every heartbeat, and none is forgotten.
pub async fn a_renewal_reports_deaths_until_all_is_recovered<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (killed, other) = (scene.worker("killed").await, scene.worker("other").await);
    scene.send(&["1", "2"]).await;
    scene.deliver(&killed, 2).await;
    assert_eq!(scene.renew(&other).await, Renewal::held());
    scene.end_lease(&killed).await;
    assert!(scene.renew(&other).await.deaths);
    assert_eq!(scene.recover(&other, 1).await.len(), 1);
    assert!(scene.renew(&other).await.deaths);
    assert_eq!(scene.recover(&other, 1).await.len(), 1);
    scene.recover(&other, 1).await;
    assert_eq!(scene.renew(&other).await, Renewal::held());
}

/// Its next crash may dead-letter it, wherever it was in between: nothing may be blamed for what runs beside it.
pub async fn what_outlived_a_worker_stays_a_suspect_when_it_is_stored_again<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (killed, saves) = (scene.worker("killed").await, scene.worker("saves").await);
    scene.send(&["released", "retried", "parked"]).await;
    scene.deliver(&killed, 3).await;
    scene.end_lease(&killed).await;
    let recovered = scene.recover(&saves, 100).await;
    let park = |body: &str| {
        let (id, priority, ability) = (MessageId::new(), Priority::Normal, "a".to_owned());
        Outcome::Park { id, priority, body: body.to_owned().into(), after: LEASE, ability }.into()
    };
    let again = [release("released"), retry("retried", Duration::ZERO), park("parked")];
    for (delivery, settlement) in recovered.iter().zip(again) {
        assert_eq!(scene.settle(&saves, delivery, settlement).await, Settled::Applied);
    }
    scene.send(&["innocent"]).await;
    let victim = scene.worker("victim").await;
    assert_eq!(scene.broker.unpark(&victim, &["a"], 1).await.expect("it can be reached").len(), 1);
    scene.deliver(&victim, 3).await;
    scene.end_lease(&victim).await;
    let heir = scene.worker("heir").await;
    assert_eq!(texts(&scene.recover(&heir, 100).await), ["innocent"]);
    let mut alone = Vec::new();
    for _ in 0..3 {
        let recovered = scene.recover(&heir, 100).await;
        assert_eq!(recovered.len(), 1, "{:?}", texts(&recovered));
        alone.extend(texts(&recovered));
    }
    alone.sort();
    assert_eq!(alone, ["parked", "released", "retried"]);
    assert_eq!(texts(&scene.recover(&heir, 100).await), [""; 0]);
}

/// A worker recovers more than it can run at once, and hands the rest to others.
pub async fn a_recovered_message_can_be_released<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (killed, one, other) = (scene.worker("killed").await, scene.worker("one").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    scene.claim_one(&killed).await;
    scene.end_lease(&killed).await;
    let recovered = scene.recover(&one, 1).await;
    assert_eq!(scene.settle(&one, &recovered[0], release("it, crashed once")).await, Settled::Applied);
    let delivered = scene.claim_one(&other).await;
    assert_eq!((&*delivered.body, delivered.crashes), (b"it, crashed once".as_slice(), 0));
}

/// A deploy kills what does not stop in time. No message is to blame for it.
pub async fn the_death_of_a_worker_that_was_stopping_is_no_crash<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let queues = slice::from_ref(&scene.queue);
    let (stopping, other) = (scene.worker("stopping").await, scene.worker("other").await);
    scene.send(&["1", "2", "3"]).await;
    scene.deliver(&stopping, 3).await;
    scene.broker.stopping(&stopping.worker, queues).await.expect("it can be reached");
    scene.broker.stopping(&stopping.worker, queues).await.expect("saying it twice is no error");
    assert_eq!(scene.renew(&stopping).await, Renewal::held());
    scene.end_lease(&stopping).await;
    // In steps, so that it is known of what is left after it was declared dead.
    let mut recovered = scene.recover(&other, 1).await;
    recovered.extend(scene.recover(&other, 100).await);
    assert_eq!(texts(&recovered), ["1", "2", "3"]);
    assert!(recovered.iter().all(|delivery| (delivery.crashes, delivery.interruptions) == (0, 1)), "{recovered:?}");
    // The death of one that was not stopping counts beside it.
    scene.end_lease(&other).await;
    let heir = scene.worker("heir").await;
    let recovered = scene.recover(&heir, 100).await;
    assert_eq!(texts(&recovered), ["1", "2", "3"], "none of them is a suspect");
    assert!(recovered.iter().all(|delivery| (delivery.crashes, delivery.interruptions) == (1, 1)), "{recovered:?}");
}

/// It ended in good order, though without an answer to its last settlements.
pub async fn a_deregistered_workers_messages_were_interrupted<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (deregistered, other) = (scene.worker("deregistered").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    scene.claim_one(&deregistered).await;
    let queues = slice::from_ref(&scene.queue);
    scene.broker.deregister(&deregistered.worker, queues).await.expect("it can be reached");
    let recovered = scene.recover(&other, 100).await;
    assert_eq!((recovered[0].crashes, recovered[0].interruptions), (0, 1));
}
