//! Messages wait for their time.

use std::time::Duration;

use super::Harness;
use super::scene::{DELAY, HOUR, Scene, message, texts};
use crate::Priority;
use crate::broker::Broker;

/// A clock may be known to a broker a little less well than to its storage.
const NEARLY: Duration = Duration::from_millis(150);

/// It is only scheduled.
pub async fn a_scheduled_message_is_not_delivered_before_its_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    scene.enqueue(vec![message("scheduled", Priority::High).after(HOUR), message("now", Priority::Low)]).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["now"]);
    scene.delivers_nothing(&worker).await;
    scene.counts([0, 1, 1, 0]).await;
}

/// When nothing else happens to the queue.
pub async fn a_waiting_claim_gets_a_scheduled_message_at_its_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let sent = scene.broker.now();
    scene.enqueue(vec![message("it", Priority::Normal).after(DELAY)]).await;
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["it"]);
    let waited = scene.broker.now().duration_since(sent).unwrap_or_default();
    assert!(waited >= NEARLY, "it was in flight {waited:?} after it was sent, and due after {DELAY:?}");
    scene.counts([0, 1, 0, 0]).await;
}

/// A claim does not sleep through what came after it fell asleep.
pub async fn a_waiting_claim_gets_what_is_scheduled_earlier_than_what_it_waits_for<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    scene.enqueue(vec![message("in an hour", Priority::Normal).after(HOUR)]).await;
    let send = async {
        scene.enqueue(vec![message("soon", Priority::Normal).after(DELAY)]).await;
        scene.advance(DELAY).await;
    };
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), send);
    assert_eq!(texts(&delivered), ["soon"]);
}

/// Not by when they were sent.
pub async fn scheduled_messages_are_delivered_by_their_time<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let sent = [("third", DELAY), ("first", DELAY / 4), ("second", DELAY / 2)];
    scene.enqueue(sent.map(|(body, delay)| message(body, Priority::Normal).after(delay)).into()).await;
    scene.advance(DELAY).await;
    assert_eq!(texts(&scene.deliver(&worker, 3).await), ["first", "second", "third"]);
}

/// Once it is due it goes before what is lower.
pub async fn a_scheduled_message_keeps_its_priority<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let sent = [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)];
    scene.enqueue(sent.map(|(body, priority)| message(body, priority).after(DELAY)).into()).await;
    scene.advance(DELAY * 2).await;
    assert_eq!(texts(&scene.deliver(&worker, 3).await), ["high", "normal", "low"]);
}

/// A claim delivers what is ready or due, the higher priority first.
pub async fn a_due_message_goes_before_a_ready_one_of_lower_priority<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    scene.enqueue(vec![message("due", Priority::High).after(DELAY), message("ready", Priority::Normal)]).await;
    scene.advance(DELAY * 2).await;
    assert_eq!(texts(&scene.deliver(&worker, 2).await), ["due", "ready"]);
}
