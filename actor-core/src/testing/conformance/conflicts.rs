//! What becomes of a message whose unique key another one holds.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::limits::per_key;
use super::scene::{DELAY, HOUR, REACHED, Scene, dead_lettered, limited, release, retry, text};
use super::uniqueness::{key, unique, until_done};
use crate::broker::Enqueued;
use crate::inspect::{Inspect, State};
use crate::settlement::Settled;
use crate::{Lane, Limit, OnConflict, Until};

const DEBOUNCE: OnConflict = OnConflict::Postpone { max_wait: None };

/// Where it waits: ready, or scheduled for the earlier of the two times.
pub async fn the_newest_replaces_one_that_waits<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let first = until_done("1", OnConflict::Replace);
    let mut last = first.id;
    scene.store(first).await;
    scene.send(&["behind"]).await;
    for body in ["2", "3"] {
        let next = until_done(body, OnConflict::Replace);
        let (replaced, id) = (std::mem::replace(&mut last, next.id), next.id);
        assert_eq!(scene.store(next).await, Enqueued::Replaced(replaced));
        scene.is_held_by(id).await;
    }
    scene.counts([2, 0, 0, 0]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "3", "it does not lose its place");
    scene.end(&worker, &delivery).await;
    let delivery = scene.claim_one(&worker).await;
    scene.end(&worker, &delivery).await;

    scene.store(until_done("4", OnConflict::Replace).after(2 * DELAY)).await;
    scene.store(until_done("5", OnConflict::Replace).after(HOUR)).await;
    scene.counts([0, 0, 1, 0]).await;
    scene.delivers_nothing(&worker).await;
    scene.advance(2 * DELAY).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "5");
    scene.end(&worker, &delivery).await;
    scene.store(until_done("6", OnConflict::Replace).after(HOUR)).await;
    scene.store(until_done("7", OnConflict::Replace)).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "7");
    scene.end(&worker, &delivery).await;
    scene.counts([0, 0, 0, 0]).await;
    scene.is_free().await;
}

/// Its time starts again with each, up to a bound.
pub async fn a_postponed_message_waits_for_the_last_and_no_longer_than_it_may<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    scene.store(until_done("1", DEBOUNCE).after(2 * DELAY)).await;
    scene.advance(DELAY).await;
    assert!(matches!(scene.store(until_done("2", DEBOUNCE).after(HOUR)).await, Enqueued::Replaced(_)));
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.counts([0, 0, 1, 0]).await;
    let bounded = OnConflict::Postpone { max_wait: Some(3 * DELAY) };
    assert!(matches!(scene.store(until_done("3", bounded).after(HOUR)).await, Enqueued::Replaced(_)));
    scene.advance(DELAY).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "3", "the bound counts from the first");
    scene.end(&worker, &delivery).await;
    scene.is_free().await;
}

/// And its place in the lane, whoever replaces it.
pub async fn a_message_in_its_lane_holds_its_key_and_is_replaced_where_it_waits<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    scene.send_in("tenant", &["before"]).await;
    let before = scene.claim_one(&worker).await;
    let in_lane = |body, on_conflict| until_done(body, on_conflict).lane(Lane::new(key("tenant")));
    let first = in_lane("1", OnConflict::Keep);
    let id = first.id;
    assert_eq!(scene.store(first).await, Enqueued::Stored);
    scene.send_in("tenant", &["after"]).await;
    scene.delivers_nothing(&worker).await;
    scene.is_held_by(id).await;
    let second = in_lane("2", OnConflict::Replace);
    let last = second.id;
    assert_eq!(scene.store(second).await, Enqueued::Replaced(id));
    assert_eq!(scene.store(in_lane("again", OnConflict::RunAgain)).await, Enqueued::Existing(last));
    scene.waiting(2).await;
    assert_eq!(
        scene.list(State::Waiting).await.iter().map(|listed| text(&listed.body)).collect::<Vec<_>>(),
        ["2", "after"]
    );
    scene.end(&worker, &before).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "2");
    scene.is_held_by(last).await;
    // Through a release, a retry and a limit elsewhere.
    scene.settle(&worker, &delivery, release("2")).await;
    let delivery = scene.claim_one(&worker).await;
    scene.is_held_by(last).await;
    scene.settle(&worker, &delivery, limited("2", DELAY)).await;
    scene.is_held_by(last).await;
    scene.advance(DELAY).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(text(&delivery.body), "2");
    scene.settle(&worker, &delivery, retry("2", DELAY)).await;
    scene.is_held_by(last).await;
    let after = scene.claim_one(&worker).await;
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.is_held_by(last).await;
    scene.end(&worker, &after).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.end(&worker, &delivery).await, Settled::Applied);
    scene.is_free().await;

    scene.send_in("tenant", &["before"]).await;
    let before = scene.claim_one(&worker).await;
    for deletes_one in [true, false] {
        assert_eq!(scene.store(in_lane("3", OnConflict::Keep)).await, Enqueued::Stored);
        let handle = scene.list(State::Waiting).await.remove(0).handle;
        if deletes_one {
            assert!(scene.broker.delete(&scene.queue, State::Waiting, &handle).await.expect(REACHED));
        } else {
            assert_eq!(scene.broker.purge(&scene.queue, State::Waiting).await.expect(REACHED), 1);
        }
        scene.waiting(0).await;
        scene.is_free().await;
    }
    scene.end(&worker, &before).await;
}

/// In the step that ends that one, and once: the message in flight is not changed.
pub async fn what_is_sent_during_a_run_follows_it<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    for on_conflict in [OnConflict::RunAgain, OnConflict::Replace, DEBOUNCE] {
        let first = until_done("1", on_conflict);
        let id = first.id;
        assert_eq!(scene.store(first).await, Enqueued::Stored);
        if on_conflict == OnConflict::RunAgain {
            let again = scene.store(until_done("again", on_conflict)).await;
            assert_eq!(again, Enqueued::Existing(id), "it waits, and runs once");
        }
        let running = scene.claim_one(&worker).await;
        let second = until_done("2", on_conflict);
        let follows = second.id;
        assert_eq!(scene.store(second).await, Enqueued::Stored);
        scene.is_held_by(id).await;
        let third = scene.store(until_done("3", on_conflict)).await;
        let (answer, body) = match on_conflict {
            OnConflict::RunAgain => (Enqueued::Existing(follows), "2"),
            _ => (Enqueued::Replaced(follows), "3"),
        };
        assert_eq!(third, answer);
        scene.delivers_nothing(&worker).await;
        assert_eq!(scene.settle(&worker, &running, retry("1", Duration::ZERO)).await, Settled::Applied);
        let running = scene.claim_one(&worker).await;
        assert_eq!(text(&running.body), "1", "its retry goes before what follows it");
        assert_eq!(scene.end(&worker, &running).await, Settled::Applied);
        let running = scene.claim_one(&worker).await;
        assert_eq!(text(&running.body), body);
        assert!(matches!(scene.keep("4").await, Enqueued::Existing(_)), "what follows holds the key");
        assert_eq!(scene.end(&worker, &running).await, Settled::Applied);
        scene.counts([0, 0, 0, 0]).await;
        scene.is_free().await;
    }
}

/// As after a success.
pub async fn what_follows_a_message_follows_its_dead_letter_and_its_start<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    scene.store(until_done("1", OnConflict::RunAgain)).await;
    let running = scene.claim_one(&worker).await;
    scene.store(until_done("2", OnConflict::RunAgain)).await;
    scene.settle(&worker, &running, dead_lettered(Bytes::from_static(b"1"), "it failed")).await;
    let running = scene.claim_one(&worker).await;
    assert_eq!(text(&running.body), "2");
    scene.end(&worker, &running).await;

    scene.store(unique("3", Until::Started, OnConflict::Replace)).await;
    let claimed = scene.claim_one(&worker).await;
    scene.store(unique("4", Until::Started, OnConflict::Replace)).await;
    assert_eq!(scene.begin(&worker, &claimed).await, Settled::Applied);
    let next = scene.claim_one(&worker).await;
    assert_eq!(text(&next.body), "4");
    for delivery in [claimed, next] {
        assert_eq!(scene.end(&worker, &delivery).await, Settled::Applied);
    }
    scene.is_free().await;
}
