//! Messages go in.

use bytes::Bytes;

use super::Harness;
use super::scene::{HOUR, Scene, message, texts};
use crate::broker::{Broker, Enqueue};
use crate::{Durability, MessageId, Priority, QueueName};

/// A message that was taken is delivered to one worker, and to no other.
pub async fn what_is_enqueued_is_in_flight_once<H: Harness>(scene: Scene<H>) {
    let (one, other) = (scene.worker("one").await, scene.worker("other").await);
    let delivery = scene.hold_one(&one, "it").await;
    assert_eq!((delivery.body, delivery.crashes), (Bytes::from("it"), 0));
    scene.delivers_nothing(&one).await;
    scene.delivers_nothing(&other).await;
    scene.counts([0, 1, 0, 0]).await;
}

/// An answer belongs to the message at its place, ready and scheduled ones alike.
pub async fn every_message_of_a_call_gets_its_answer_in_order<H: Harness>(scene: Scene<H>) {
    scene.enqueue(vec![]).await;
    scene
        .enqueue(vec![
            message("low", Priority::Low),
            message("scheduled", Priority::High).after(HOUR),
            message("normal", Priority::Normal),
            message("later too", Priority::Normal).after(HOUR),
        ])
        .await;
    scene.counts([2, 0, 2, 0]).await;
}

/// A call may be of any size; none of its messages is lost or changes its place.
pub async fn ten_thousand_messages_in_one_call_arrive_in_order<H: Harness>(scene: Scene<H>) {
    let sent: Vec<String> = (0..10_000).map(|number| format!("message {number}")).collect();
    scene.enqueue(sent.iter().map(|body| message(body, Priority::Normal)).collect()).await;
    scene.counts([10_000, 0, 0, 0]).await;
    let worker = scene.worker("worker").await;
    let mut delivered = Vec::new();
    while delivered.len() < sent.len() {
        delivered.extend(texts(&scene.deliver(&worker, 500).await));
    }
    assert!(delivered == sent, "they were delivered in another order, or changed");
}

/// Every byte of it.
pub async fn a_message_as_large_as_the_limit_goes_through<H: Harness>(scene: Scene<H>) {
    let body: Bytes = (0..scene.broker.max_message_bytes()).map(|at| (at % 251) as u8).collect();
    scene.enqueue(vec![Enqueue::new(MessageId::new(), Priority::Normal, body.clone())]).await;
    let worker = scene.worker("worker").await;
    assert!(scene.claim_one(&worker).await.body == body, "the body changed");
}

/// A broker judges no body: a worker does, and dead-letters what it cannot decode.
pub async fn bytes_that_are_no_message_are_delivered_as_they_are<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let odd: [&'static [u8]; 4] = [b"\xff\xfe\0\r\n", b"", b"{", b"\"text\""];
    scene.send(&["before"]).await;
    for body in odd {
        scene.harness.put_raw(&scene.broker, &scene.queue, Bytes::from_static(body)).await;
    }
    scene.send(&["after"]).await;
    let delivered = scene.deliver(&worker, 6).await;
    let bodies: Vec<&[u8]> = delivered.iter().map(|delivery| &*delivery.body).collect();
    assert_eq!(bodies, [b"before", odd[0], odd[1], odd[2], odd[3], b"after"]);
}

/// Whoever asks for more replicas than there can be is never answered that they have the message: either it is refused
/// and not stored, or it is stored and said to be no more than that. What is sent beside it is answered by itself.
pub async fn a_durability_out_of_reach_is_never_said_to_be_reached<H: Harness>(scene: Scene<H>) {
    let asked = message("durable", Priority::Normal).durability(Durability::Replicated(u32::MAX));
    let mut answers = scene.broker.enqueue(&scene.queue, vec![message("plain", Priority::Normal), asked]).await;
    let error = answers.pop().expect("each message gets one answer").expect_err("it has no such replicas");
    answers.pop().expect("each message gets one answer").expect("it asked for nothing");
    assert!(!error.is_unknown(), "whether it is stored is known: {error}");
    scene.counts([1 + u64::from(error.is_stored()), 0, 0, 0]).await;
}

/// Whatever their names are.
pub async fn queues_do_not_mix<H: Harness>(mut scene: Scene<H>) {
    let longest = "q".repeat(128);
    let names = ["a", "A", "a.b", "a-b", "a_b", "ready", "0", &*longest];
    let names = names.map(|name| QueueName::new(name).expect("it is a name"));
    for name in &names {
        scene.queue = name.clone();
        scene.send(&[name.as_str()]).await;
    }
    for name in &names {
        scene.queue = name.clone();
        let worker = scene.worker("worker").await;
        assert_eq!(texts(&scene.deliver(&worker, 1).await), [name.as_str()]);
        scene.delivers_nothing(&worker).await;
    }
}
