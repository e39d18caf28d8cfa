//! Deliveries end.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{Scene, dead_lettered, message, release, retry, text, texts};
use crate::broker::Broker;
use crate::inspect::State;
use crate::settlement::{Outcome, Settled};
use crate::{MessageId, Priority};

const HOUR: Duration = Duration::from_secs(3600);

/// Short, since a harness may really wait for it.
const DELAY: Duration = Duration::from_millis(100);

/// Nothing is left of it.
pub async fn done_ends_a_message<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, Outcome::Done.into()).await, Settled::Applied);
    scene.counts([0, 0, 0, 0]).await;
    scene.delivers_nothing(&worker).await;
}

/// Whatever was first, and whatever comes second.
pub async fn settling_twice_changes_nothing<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["done", "retried", "dead-lettered", "released"]).await;
    let delivered = scene.deliver(&worker, 4).await;
    let ends =
        || [Outcome::Done.into(), retry("retried", HOUR), dead_lettered(Bytes::from("dead-lettered"), "it failed")];
    let ends = || ends().into_iter().chain([release("released")]);
    for (delivery, first) in delivered.iter().zip(ends()) {
        assert_eq!(scene.settle(&worker, delivery, first).await, Settled::Applied);
        for second in ends() {
            assert_eq!(scene.settle(&worker, delivery, second).await, Settled::Stale);
        }
    }
    scene.counts([1, 0, 1, 1]).await;
}

/// It is the same message for a sender, and a new body for the next worker.
pub async fn a_retry_is_scheduled_in_its_new_form_and_delivered_again<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["first attempt"]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, retry("second attempt", DELAY)).await, Settled::Applied);
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["second attempt"]);
    assert_eq!(delivered[0].crashes, 0);
    assert_eq!(scene.settle(&worker, &delivered[0], retry("third attempt", HOUR)).await, Settled::Applied);
    scene.delivers_nothing(&worker).await;
    scene.counts([0, 0, 1, 0]).await;
    assert_eq!(text(&scene.list(State::Scheduled).await[0].body), "third attempt");
}

/// The settlement says which, since a broker does not read the body.
pub async fn a_retry_goes_to_its_priority<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&worker).await;
    let body = Bytes::from("it, again");
    let retry = Outcome::Reschedule { id: MessageId::new(), priority: Priority::High, body, after: DELAY }.into();
    assert_eq!(scene.settle(&worker, &delivery, retry).await, Settled::Applied);
    scene.enqueue(vec![message("normal", Priority::Normal).after(DELAY / 2)]).await;
    scene.advance(DELAY * 2).await;
    assert_eq!(texts(&scene.deliver(&worker, 2).await), ["it, again", "normal"]);
}

/// No time is a time that has come.
pub async fn a_retry_without_delay_is_ready<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["first"]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, retry("second", Duration::ZERO)).await, Settled::Applied);
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["second"]);
}

/// For a person; no worker gets it.
pub async fn a_dead_lettered_message_is_kept_with_its_reason<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["first", "second"]).await;
    let delivered = scene.deliver(&worker, 2).await;
    let undecodable =
        Outcome::DeadLetter { id: None, body: Bytes::from("\u{1f4a9}"), reason: "no message".to_owned() }.into();
    assert_eq!(scene.settle(&worker, &delivered[0], undecodable).await, Settled::Applied);
    assert_eq!(
        scene.settle(&worker, &delivered[1], dead_lettered("new form".into(), "it failed")).await,
        Settled::Applied
    );
    scene.delivers_nothing(&worker).await;
    scene.counts([0, 0, 0, 2]).await;
    let mut dead: Vec<_> =
        scene.list(State::Dead).await.into_iter().map(|dead| (text(&dead.body), dead.reason)).collect();
    dead.sort();
    let [first, second] = [("new form", "it failed"), ("\u{1f4a9}", "no message")]
        .map(|(body, reason)| (body.to_owned(), Some(reason.to_owned())));
    assert_eq!(dead, [first, second]);
}

/// Before everything of its priority that waits, and after every higher one.
pub async fn a_released_message_goes_first_in_its_new_form<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    scene.send(&["first", "second"]).await;
    let delivery = scene.claim_one(&one).await;
    scene.enqueue(vec![message("high", Priority::High)]).await;
    assert_eq!(scene.settle(&one, &delivery, release("first, released")).await, Settled::Applied);
    scene.counts([3, 0, 0, 0]).await;
    assert_eq!(texts(&scene.deliver(&other, 3).await), ["high", "first, released", "second"]);
}

/// What a stopping worker had not begun is begun by the next in the same order.
pub async fn released_messages_keep_their_order<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    scene.send(&["1", "2", "3", "4"]).await;
    let delivered = scene.deliver(&one, 3).await;
    let ends =
        delivered.into_iter().map(|delivered| (delivered.receipt, Outcome::Release { body: delivered.body }.into()));
    assert_eq!(scene.settle_all(&one, &ends.collect::<Vec<_>>()).await, [Settled::Applied; 3]);
    assert_eq!(texts(&scene.deliver(&other, 4).await), ["1", "2", "3", "4"]);
}

/// Another worker may have nothing else to do.
pub async fn a_waiting_claim_is_woken_by_what_is_released_or_retried<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    for (end, delay) in
        [(release("again"), None), (retry("again", Duration::ZERO), None), (retry("again", DELAY), Some(DELAY))]
    {
        scene.send(&["it"]).await;
        let delivery = scene.claim_one(&one).await;
        let settle = async {
            assert_eq!(scene.settle(&one, &delivery, end).await, Settled::Applied);
            if let Some(delay) = delay {
                scene.advance(delay).await;
            }
        };
        let (delivered, ()) = tokio::join!(scene.deliver(&other, 1), settle);
        assert_eq!(texts(&delivered), ["again"]);
    }
}

/// A worker that stops in good order harms no message.
pub async fn a_release_counts_no_crash<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&one).await;
    scene.settle(&one, &delivery, release("it")).await;
    assert_eq!(scene.claim_one(&other).await.crashes, 0);
}

/// A batch is one call, not one fate.
pub async fn a_batch_settles_each_delivery_its_own_way<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["1", "2", "3", "4", "5", "6"]).await;
    let delivered = scene.deliver(&worker, 6).await;
    assert_eq!(scene.settle(&worker, &delivered[5], Outcome::Done.into()).await, Settled::Applied);
    let ends = [
        Outcome::Done.into(),
        retry("retried", HOUR),
        dead_lettered("dead-lettered".into(), "it failed"),
        release("released"),
        Outcome::Done.into(),
        retry("settled before", HOUR),
    ];
    let ends: Vec<_> = delivered.iter().map(|delivered| delivered.receipt.clone()).zip(ends).collect();
    let answers = scene.settle_all(&worker, &ends).await;
    assert_eq!(answers, [[Settled::Applied; 5].as_slice(), &[Settled::Stale]].concat());
    scene.counts([1, 0, 1, 1]).await;
    // Of successes in one batch a storage may only know how many counted, and of these none did.
    assert_eq!(scene.settle_all(&worker, &ends).await, [Settled::Stale; 6]);
    scene.counts([1, 0, 1, 1]).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["released"]);
}

/// Success is a fact about the work, failure one about a run.
pub async fn only_the_holder_says_that_a_run_failed<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (holder, other) = (scene.worker("holder").await, scene.worker("other").await);
    scene.send(&["it"]).await;
    let delivery = scene.claim_one(&holder).await;
    for end in [retry("it", HOUR), dead_lettered("it".into(), "it failed"), release("it")] {
        assert_eq!(scene.settle(&other, &delivery, end).await, Settled::Stale);
    }
    scene.counts([0, 1, 0, 0]).await;
    assert_eq!(scene.settle(&holder, &delivery, Outcome::Done.into()).await, Settled::Applied);
}

/// The death of its worker comes too late to matter.
pub async fn a_settled_message_is_never_recovered<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    scene.send(&["done", "retried", "dead-lettered", "released"]).await;
    let delivered = scene.deliver(&one, 4).await;
    let ends = [Outcome::Done.into(), retry("it", HOUR), dead_lettered("it".into(), "it failed"), release("it")];
    for (delivery, end) in delivered.iter().zip(ends) {
        assert_eq!(scene.settle(&one, delivery, end).await, Settled::Applied);
    }
    scene.end_lease(&one).await;
    assert_eq!(texts(&scene.recover(&other, 100).await), [""; 0]);
    scene.counts([1, 0, 1, 1]).await;
}

/// Nor does it fail.
pub async fn an_empty_batch_settles_nothing<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    assert!(scene.broker.settle(&worker, &[]).await.is_empty());
}
