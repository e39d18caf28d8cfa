use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::inspect::{State, Which};
use actor_redis::RedisBroker;

use crate::server::{Server, claim, dead_letter, message, queue, send, worker};
use crate::warnings::Log;

async fn dead_letter_some(broker: &RedisBroker, count: usize) {
    let consumer = worker(broker).await;
    send(broker, (0..count).map(|number| message(&number.to_string())).collect()).await;
    let settlements: Vec<_> = claim(broker, &consumer, count)
        .await
        .into_iter()
        .map(|delivery| {
            let body = String::from_utf8(delivery.body.to_vec()).unwrap();
            (delivery.receipt, dead_letter(&body, "why"))
        })
        .collect();
    assert_eq!(settlements.len(), count);
    for answer in broker.settle(&consumer, &settlements).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn the_oldest_dead_letters_go_where_there_are_too_many() {
    let server = Server::start();
    let builder = RedisBroker::builder(&server.url()).unwrap();
    let ten = NonZeroU64::new(10).unwrap();
    let broker = builder.dead_letters(Duration::from_secs(3600), ten).connect().await.unwrap();
    dead_letter_some(&broker, 300).await;
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:dead"), 10);
    assert_eq!(server.run::<i64>("HLEN {actor:mail}:dead:reasons"), 10);
    let kept: Vec<String> = server.run("HVALS {actor:mail}:dead:bodies");
    assert_eq!(kept.len(), 10);
    assert!(kept.iter().all(|body| body.parse::<u32>().unwrap() >= 200), "{kept:?}");
}

#[tokio::test]
async fn dead_letters_go_when_they_are_too_old() {
    let server = Server::start();
    let broker = server.broker().await;
    dead_letter_some(&broker, 5).await;
    let old: Vec<String> = server.run("ZRANGE {actor:mail}:dead 0 2");
    for member in &old {
        let _: i64 = server.run(&format!("ZADD {{actor:mail}}:dead 1 {member}"));
    }
    dead_letter_some(&broker, 1).await;
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:dead"), 3);
    assert_eq!(server.run::<i64>("HLEN {actor:mail}:dead:bodies"), 3);
}

#[tokio::test]
async fn far_too_many_go_in_bounded_steps_until_they_are_gone() {
    let server = Server::start();
    let broker = server.broker().await;
    dead_letter_some(&broker, 900).await;
    let few = NonZeroU64::new(5).unwrap();
    let strict = RedisBroker::builder(&server.url()).unwrap().dead_letters(Duration::from_secs(3600), few);
    let strict = strict.connect().await.unwrap();
    let mut left = 900;
    while left > 5 {
        dead_letter_some(&strict, 1).await;
        let now: i64 = server.run("ZCARD {actor:mail}:dead");
        assert!(now < left && left - now < 300, "from {left} to {now}");
        left = now;
    }
}

/// A broker that keeps a hundred dead letters for an hour.
async fn keeps_a_hundred(server: &Server) -> RedisBroker {
    let hundred = NonZeroU64::new(100).unwrap();
    let builder = RedisBroker::builder(&server.url()).unwrap();
    builder.dead_letters(Duration::from_secs(3600), hundred).connect().await.unwrap()
}

/// How many were pruned, and since when, as the counts and the audit say alike.
async fn pruned(broker: &RedisBroker) -> (u64, Option<SystemTime>) {
    let (counts, audit) = (broker.counts(&queue()).await.unwrap(), broker.audit(&queue(), 1_000_000).await.unwrap());
    assert_eq!(audit.violations, []);
    assert_eq!((counts.pruned, counts.pruned_since), (audit.pruned, audit.pruned_since));
    (counts.pruned, counts.pruned_since)
}

#[tokio::test]
async fn dead_letters_over_the_bound_leave_a_trace() {
    let server = Server::start();
    let broker = keeps_a_hundred(&server).await;
    let (log, _here) = Log::here();
    dead_letter_some(&broker, 100).await;
    assert_eq!(pruned(&broker).await, (0, None));
    assert_eq!(log.count("WARN"), 0);
    let began = broker.now() - Duration::from_millis(100);
    dead_letter_some(&broker, 50).await;
    let (count, since) = pruned(&broker).await;
    assert_eq!((broker.counts(&queue()).await.unwrap().dead, count), (100, 50));
    let since = since.unwrap();
    assert!((began..began + Duration::from_secs(10)).contains(&since), "{since:?} for {began:?}");
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("dead letters pruned: they were too many or too old queue=mail pruned=50"), 1);
    // The log is quiet about what follows for a minute. The counts are not, and remember since when.
    dead_letter_some(&broker, 7).await;
    assert_eq!(pruned(&broker).await, (57, Some(since)));
    assert_eq!(log.count("WARN"), 1);
}

#[tokio::test]
async fn dead_letters_that_are_too_old_leave_a_trace() {
    let server = Server::start();
    let broker = keeps_a_hundred(&server).await;
    let (log, _here) = Log::here();
    dead_letter_some(&broker, 5).await;
    let old: Vec<String> = server.run("ZRANGE {actor:mail}:dead 0 2");
    for member in &old {
        let _: i64 = server.run(&format!("ZADD {{actor:mail}}:dead 1 {member}"));
    }
    dead_letter_some(&broker, 1).await;
    assert_eq!(pruned(&broker).await.0, 3);
    assert_eq!(log.count("queue=mail pruned=3"), 1);
}

#[tokio::test]
async fn what_was_pruned_is_forgotten_once_a_person_has_seen_to_all_that_is_left() {
    let server = Server::start();
    let broker = keeps_a_hundred(&server).await;
    let again = async || {
        dead_letter_some(&broker, 150).await;
        assert_eq!(pruned(&broker).await.0, 50);
    };
    again().await;
    assert_eq!(broker.purge(&queue(), State::Dead).await.unwrap(), 100);
    assert_eq!(pruned(&broker).await, (0, None));
    again().await;
    assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 100);
    assert_eq!(pruned(&broker).await, (0, None));
    assert_eq!(broker.purge(&queue(), State::Ready).await.unwrap(), 100);
    again().await;
    let mut left = 100;
    while left > 0 {
        assert_eq!(pruned(&broker).await.0, 50);
        let listing = broker.list(&queue(), State::Dead, actor_core::inspect::Page::first(50)).await.unwrap();
        for dead_letter in listing.messages {
            assert!(broker.delete(&queue(), State::Dead, &dead_letter.handle).await.unwrap());
            left -= 1;
        }
    }
    assert_eq!(pruned(&broker).await, (0, None));
    assert_eq!(server.run::<i64>("EXISTS {actor:mail}:dead:pruned"), 0);
}
