use actor_core::broker::{Broker, Enqueue};
use actor_redis::RedisBroker;

use super::members::Cluster;
use super::name;
use super::wire::Wire;
use crate::server::{LEASE, message};

/// More bytes than a redirected message has, there and back: a request to each member, and their answers.
const LONGEST: usize = 300;

/// A queue on the first of two members, and a broker that reaches both through a wire.
async fn behind_a_wire() -> (Cluster, Wire, RedisBroker, String) {
    let cluster = Cluster::of(2, 0, &[]);
    let wire = Wire::before(&cluster).await;
    let ports = wire.ports();
    // The member that was asked last may have named the other by its own port.
    let map = move |_: &str, port| ("127.0.0.1".to_owned(), ports.get(&port).copied().unwrap_or(port));
    let url = format!("redis+cluster://127.0.0.1:{}", wire.port(cluster.port(0)));
    let broker = RedisBroker::builder(&url).unwrap().address_map(map).connect().await.unwrap();
    let queue = cluster.queues_of(0, 1).remove(0);
    (cluster, wire, broker, queue)
}

/// Sends until it is answered that it was stored.
async fn warm_up(broker: &RedisBroker, queue: &str) {
    while broker.enqueue(&name(queue), vec![message("warm-up")]).await.remove(0).is_err() {
        tokio::task::yield_now().await;
    }
}

/// Sends these with the connections cut after so many bytes, and what was answered for each.
async fn sent_and_cut(broker: &RedisBroker, wire: &Wire, queue: &str, after: usize, some: &[Enqueue]) -> Vec<Answered> {
    wire.cut_after(after);
    let answers = broker.enqueue(&name(queue), some.to_vec()).await;
    let answered = answers.into_iter().map(|answer| match answer {
        Ok(_) => Answered::Stored,
        Err(error) if error.is_unknown() => Answered::Unknown,
        Err(_) => Answered::Not,
    });
    answered.collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Stored,
    Unknown,
    Not,
}

/// An answer and how often the message is there.
fn assert_honest(answered: Answered, times: usize, after: usize) {
    match answered {
        Answered::Stored => assert_eq!(times, 1, "stored, and cut after {after} bytes"),
        Answered::Unknown => assert!(times <= 1, "unknown, {times} times, and cut after {after} bytes"),
        Answered::Not => assert_eq!(times, 0, "not stored, and cut after {after} bytes"),
    }
}

/// How often a body is in an answer.
fn times(answer: &str, body: &str) -> usize {
    answer.lines().filter(|line| *line == body).count()
}

/// Sends messages while the slot is handed over, so that each is redirected by `ASK`, cut at each byte.
async fn asked_and_cut(kinds: fn(usize) -> Vec<Enqueue>) {
    let (cluster, wire, broker, queue) = behind_a_wire().await;
    let slot = cluster.slot(&queue);
    super::consumers(&broker, std::slice::from_ref(&queue)).await;
    broker.enqueue(&name(&queue), vec![message("later").after(LEASE)]).await.remove(0).unwrap();
    cluster.begin_to_migrate(slot, 0, 1);
    while cluster.migrate_key(slot, 0, 1) {}
    let (mut sent, mut spared) = (Vec::new(), 0);
    for after in 0.. {
        warm_up(&broker, &queue).await;
        let messages = kinds(after);
        let answers = sent_and_cut(&broker, &wire, &queue, after, &messages).await;
        let bodies = messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap());
        sent.extend(bodies.zip(answers).map(|(body, answered)| (after, body, answered)));
        // What learns beside it may be cut in its place.
        spared = if wire.spare() { spared + 1 } else { 0 };
        if spared == 3 {
            break;
        }
    }
    assert!(wire.redirected() > sent.len());
    for wanted in [Answered::Stored, Answered::Unknown] {
        assert!(sent.iter().any(|(_, _, answered)| *answered == wanted), "{wanted:?}");
    }
    cluster.assign(slot, 1, &[1, 0]);
    let ready = cluster.ask(1, &format!("XRANGE {{actor:{queue}}}:ready:normal - +"));
    let later = cluster.ask(1, &format!("HVALS {{actor:{queue}}}:scheduled:bodies"));
    for (after, body, answered) in sent {
        assert_honest(answered, times(&ready, &body) + times(&later, &body), after);
    }
}

#[tokio::test]
async fn a_connection_cut_at_each_byte_of_an_ask_stores_a_message_at_most_once() {
    asked_and_cut(|after| vec![message(&format!("only-{after}"))]).await;
}

#[tokio::test]
async fn a_connection_cut_at_each_byte_of_an_ask_with_a_script_stores_each_message_at_most_once() {
    asked_and_cut(|after| vec![message(&format!("now-{after}")), message(&format!("later-{after}")).after(LEASE)])
        .await;
}

#[tokio::test]
async fn a_connection_cut_at_each_byte_of_a_moved_stores_a_message_at_most_once() {
    let (cluster, wire, broker, queue) = behind_a_wire().await;
    let slot = cluster.slot(&queue);
    let key = format!("{{actor:{queue}}}:ready:normal");
    // Others' queues, by which the broker is connected to both members.
    let others = [cluster.queues_of(0, 2).remove(1), cluster.queues_of(1, 1).remove(0)];
    let (mut here, mut redirected, mut seen) = (0, 0, Vec::new());
    for after in 0..LONGEST {
        for queue in [&others[0], &others[1], &queue] {
            warm_up(&broker, queue).await;
        }
        // The slot moves, empty, and the broker does not know.
        cluster.ask(here, &format!("DEL {key}"));
        cluster.migrate(slot, here, 1 - here);
        here = 1 - here;
        let before = wire.redirected();
        let answered = sent_and_cut(&broker, &wire, &queue, after, &[message("only")]).await[0];
        redirected += usize::from(wire.redirected() > before);
        let stored = cluster.ask(here, &format!("XRANGE {key} - +"));
        assert_honest(answered, times(&stored, "only"), after);
        seen.push(answered);
        wire.spare();
    }
    assert!(redirected > seen.len() / 4, "only {redirected} of {} were redirected", seen.len());
    for wanted in [Answered::Stored, Answered::Unknown] {
        assert!(seen.contains(&wanted), "{wanted:?}");
    }
}
