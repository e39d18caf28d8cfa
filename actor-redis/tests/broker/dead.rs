use std::num::NonZeroU64;
use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use crate::server::{Server, bury, claim, message, queue, send, worker};

async fn bury_some(broker: &RedisBroker, count: usize) {
    let consumer = worker(broker).await;
    send(broker, (0..count).map(|number| message(&number.to_string())).collect()).await;
    let settlements: Vec<_> = claim(broker, &consumer, count)
        .await
        .into_iter()
        .map(|delivery| {
            let body = String::from_utf8(delivery.body.to_vec()).unwrap();
            (delivery.receipt, bury(&body, "why"))
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
    bury_some(&broker, 300).await;
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
    bury_some(&broker, 5).await;
    let old: Vec<String> = server.run("ZRANGE {actor:mail}:dead 0 2");
    for member in &old {
        let _: i64 = server.run(&format!("ZADD {{actor:mail}}:dead 1 {member}"));
    }
    bury_some(&broker, 1).await;
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:dead"), 3);
    assert_eq!(server.run::<i64>("HLEN {actor:mail}:dead:bodies"), 3);
}

#[tokio::test]
async fn far_too_many_go_in_bounded_steps_until_they_are_gone() {
    let server = Server::start();
    let broker = server.broker().await;
    bury_some(&broker, 900).await;
    let few = NonZeroU64::new(5).unwrap();
    let strict = RedisBroker::builder(&server.url()).unwrap().dead_letters(Duration::from_secs(3600), few);
    let strict = strict.connect().await.unwrap();
    let mut left = 900;
    while left > 5 {
        bury_some(&strict, 1).await;
        let now: i64 = server.run("ZCARD {actor:mail}:dead");
        assert!(now < left && left - now < 300, "from {left} to {now}");
        left = now;
    }
}

#[tokio::test]
async fn dead_letters_whose_times_are_gone_are_listed_again() {
    let server = Server::start();
    let broker = server.broker().await;
    bury_some(&broker, 20).await;
    let _: i64 = server.run("DEL {actor:mail}:dead");
    for _ in 0..20 {
        bury_some(&broker, 1).await;
    }
    assert_eq!(broker.counts(&queue()).await.unwrap().dead, 40);
    assert!(broker.audit(&queue(), 1_000).await.unwrap().violations.is_empty());
}
