//! What limiters keep in Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::limiter::{Acquire, Acquired, Held, Holder};
use actor_core::{Key, Limiter, MessageId};
use actor_redis::RedisBroker;
use redis::FromRedisValue;

use crate::refusals::documented;
use crate::server::Server;

const SECOND: Duration = Duration::from_secs(1);

/// How long a permit is kept after its lease, as `docs/redis-keys.md` says.
const KEPT: Duration = Duration::from_mins(1);

const BUCKET: Limiter = Limiter::bucket("b", 10, SECOND).burst(5);
const WINDOW: Limiter = Limiter::window("w", 5, Duration::from_millis(500));
const PERMITS: Limiter = Limiter::concurrent("p", 5);

fn by(limiter: Limiter) -> Acquire {
    Acquire::new(limiter, Holder::new(MessageId::new(), 0, 0)).key(Key::new("a key").unwrap())
}

async fn acquire(broker: &RedisBroker, acquire: &Acquire) -> Held {
    assert_eq!(broker.limiters().unwrap().acquire(acquire).await.unwrap(), Acquired::Granted);
    acquire.held()
}

/// Asks the server itself, with arguments that may have blanks.
fn ask<T: FromRedisValue>(server: &Server, command: &[&str]) -> T {
    redis::cmd(command[0]).arg(&command[1..]).query(&mut server.raw()).unwrap()
}

/// Every key of limiters, with the ms until it expires.
fn expiries(server: &Server) -> Vec<(String, i64)> {
    let mut keys: Vec<String> = server.run("KEYS *limiter*");
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), ask(server, &["PTTL", &key]))).collect()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

#[tokio::test]
async fn what_is_used_no_more_leaves_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    acquire(&broker, &by(BUCKET).cost(5)).await;
    acquire(&broker, &by(WINDOW)).await;
    let held = [acquire(&broker, &by(PERMITS).cost(3)).await, acquire(&broker, &by(PERMITS).lease(SECOND)).await];
    let names: Vec<_> = expiries(&server).into_iter().map(|(key, _)| key).collect();
    let expected = ["b}:bucket", "p}:holders", "p}:permits", "w}:window"];
    assert_eq!(names, expected.map(|name| format!("{{actor:limiter:{name}:a key")));
    let lease = actor_core::limiter::LEASE;
    for ((name, expires), most) in expiries(&server).into_iter().zip([SECOND, lease + KEPT, lease + KEPT, SECOND]) {
        assert!(expires > 0 && expires <= ms(most), "{name} expires in {expires} ms");
    }
    let limiters = broker.limiters().unwrap();
    assert_eq!(limiters.renew(PERMITS.name(), &held, SECOND).await.unwrap(), [true, true]);
    for (name, expires) in expiries(&server) {
        assert!(expires > 0 && expires <= ms(SECOND + KEPT), "{name} expires in {expires} ms");
    }
    assert_eq!(limiters.release(PERMITS.name(), &held).await.unwrap(), [true, true]);
    // What asks only leaves nothing either.
    for limiter in [BUCKET, WINDOW, PERMITS] {
        limiters.usage(&limiter, &Key::new("another").unwrap()).await.unwrap();
        limiters.renew(limiter.name(), &held, SECOND).await.unwrap();
    }
    // The others expire by themselves.
    while !expiries(&server).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn permits_that_ended_in_great_number_are_forgotten_a_part_at_a_time() {
    let server = Server::start();
    let broker = server.broker().await;
    let limiter = Limiter::concurrent("many", 2_500);
    let limiters = broker.limiters().unwrap();
    let mut held = Vec::new();
    for _ in 0..2_500 {
        held.push(acquire(&broker, &by(limiter)).await);
    }
    limiters.renew(limiter.name(), &held, Duration::ZERO).await.unwrap();
    let all = by(limiter).cost(2_500);
    let mut asked = 1;
    while limiters.acquire(&all).await.unwrap() != Acquired::Granted {
        asked += 1;
    }
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_permit_is_renewed_and_released_while_redis_is_out_of_memory() {
    let server = Server::start();
    let broker = server.broker().await;
    let held = [acquire(&broker, &by(PERMITS)).await, acquire(&broker, &by(PERMITS).cost(2)).await];
    let _: String = server.run("CONFIG SET maxmemory 1");
    let limiters = broker.limiters().unwrap();
    let refused = limiters.acquire(&by(BUCKET)).await.unwrap_err();
    assert!(refused.is_transient() && !refused.is_unknown(), "{refused}");
    assert_eq!(limiters.renew(PERMITS.name(), &held, SECOND).await.unwrap(), [true, true]);
    assert_eq!(limiters.release(PERMITS.name(), &held).await.unwrap(), [true, true]);
}

#[tokio::test]
async fn the_documented_permissions_suffice_for_limiters() {
    let page = include_str!("../../../docs/redis-keys.md");
    let server = Server::start();
    for user in ["actor", "sender"] {
        let broker = documented(&server, user).await;
        if user == "sender" {
            let more = page.split("One that acquires of [limiters]").nth(1).unwrap();
            let more = more.lines().find(|line| line.starts_with("ACL SETUSER sender ")).unwrap();
            let _: String = server.run(more);
        }
        let limiters = broker.limiters().unwrap();
        for limiter in [BUCKET, WINDOW, PERMITS] {
            let key = Key::new(user).unwrap();
            let one = by(limiter).key(key.clone()).cost(3);
            for asks in [&one, &by(limiter).key(key.clone()).cost(3)] {
                limiters.acquire(asks).await.unwrap();
            }
            limiters.usage(&limiter, &key).await.unwrap();
            limiters.renew(limiter.name(), &[one.held()], Duration::ZERO).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await; // Until its lease has ended, without an event.
            limiters.usage(&limiter, &key).await.unwrap();
            let other = by(limiter).key(key.clone());
            limiters.acquire(&other).await.unwrap();
            limiters.release(limiter.name(), &[one.held(), other.held()]).await.unwrap();
        }
        // A window that slides, and one whose times lie ahead of the clock.
        let few = Limiter::window("few", 2, Duration::from_millis(50));
        for _ in 0..2 {
            acquire(&broker, &by(few).key(Key::new(user).unwrap())).await;
            tokio::time::sleep(Duration::from_millis(30)).await; // Redis's clock cannot be moved.
        }
        acquire(&broker, &by(few).key(Key::new(user).unwrap())).await;
        let window = format!("{{actor:limiter:w}}:window:{user}");
        let _: i64 = ask(&server, &["RPUSH", &window, "9000000000000000"]);
        limiters.acquire(&by(WINDOW).key(Key::new(user).unwrap())).await.unwrap();
        let denied: Vec<redis::Value> = server.run("ACL LOG");
        assert!(denied.is_empty(), "{denied:?}");
    }
}

/// As where a failover went to a server whose clock is behind.
#[tokio::test]
async fn a_clock_that_went_back_closes_a_window_for_one_span_and_a_bucket_for_what_it_holds() {
    let server = Server::start();
    let broker = server.broker().await;
    let limiters = broker.limiters().unwrap();
    let (seconds, micros): (u64, u64) = server.run("TIME");
    let ahead = (seconds * 1_000_000 + micros + 3_600_000_000).to_string();
    let _: String = ask(&server, &["SET", "{actor:limiter:b}:bucket:a key", &ahead]);
    let _: i64 = ask(&server, &["RPUSH", "{actor:limiter:w}:window:a key", &ahead, &ahead, &ahead, &ahead, &ahead]);
    for (limiter, most) in [(WINDOW, Duration::from_millis(500)), (BUCKET, SECOND)] {
        let Acquired::Refused { retry_after } = limiters.acquire(&by(limiter)).await.unwrap() else {
            panic!("{limiter:?} let one through");
        };
        assert!(retry_after <= most, "{limiter:?}: {retry_after:?}");
        let expires = expiries(&server)
            .into_iter()
            .find(|(name, _)| name.starts_with(&format!("{{actor:limiter:{}}}", limiter.name())));
        assert!(expires.as_ref().is_some_and(|(_, expires)| *expires > 0), "{expires:?}");
        tokio::time::sleep(retry_after).await;
        acquire(&broker, &by(limiter)).await;
    }
}

/// Each has a slot of its own, and all of its keys are there.
#[tokio::test]
async fn the_keys_of_a_limiter_are_in_one_slot_and_not_all_limiters_in_the_same() {
    let server = Server::start();
    let broker = server.broker().await;
    let mut slots = BTreeSet::new();
    for name in ["maps", "ftp", "sms", "mail"] {
        acquire(&broker, &by(Limiter::concurrent(name, 5)).key(Key::new("}{other}").unwrap())).await;
        acquire(&broker, &by(Limiter::concurrent(name, 5))).await;
        let keys: Vec<String> = server.run(&format!("KEYS *limiter:{name}*"));
        let of: BTreeSet<_> = keys.iter().map(|key| tag(key).to_owned()).collect();
        assert_eq!((keys.len(), of.len()), (4, 1), "{keys:?}");
        slots.extend(of);
    }
    assert_eq!(slots.len(), 4);
}

/// By which a cluster finds a key's slot: what is between the first brace and the next that closes one.
fn tag(key: &str) -> &str {
    key.split_once('{').and_then(|(_, after)| after.split_once('}')).map_or(key, |(tag, _)| tag)
}
