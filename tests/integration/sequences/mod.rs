//! Random calls of `Broker`, on the in-memory broker and on Redis, compared with a reference. A failing sequence is
//! shrunk.

mod player;
mod reference;

use std::cell::Cell;

use actor_core::{MemoryBroker, Priority, QueueName};
use actor_redis::RedisBroker;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use self::player::{DUE_AFTER, Player, Stage, Step};
use self::reference::End;
use crate::support::RedisServer;

/// The number of workers. Three can recover from one another in a ring.
const WORKERS: usize = 3;
/// The longest sequence.
const LONGEST: usize = 50;

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Done),
        priority().prop_map(End::RetryNow),
        priority().prop_map(End::RetryScheduled),
        priority().prop_map(End::Park),
        Just(End::DeadLetter),
        Just(End::Release),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS;
    prop_oneof![
        4 => (priority(), prop::bool::weighted(0.2)).prop_map(|(priority, scheduled)| Step::Send { priority, scheduled }),
        4 => (worker(), 0_usize..4).prop_map(|(worker, max)| Step::Claim { worker, max }),
        2 => (worker(), any::<usize>(), end()).prop_map(|(worker, delivery, end)| Step::Settle { worker, delivery, end }),
        4 => (any::<usize>(), end()).prop_map(|(delivery, end)| Step::SettleOwn { delivery, end }),
        1 => worker().prop_map(|worker| Step::Renew { worker }),
        2 => worker().prop_map(|worker| Step::EndLease { worker }),
        3 => (worker(), 0_usize..4).prop_map(|(worker, max)| Step::Recover { worker, max }),
        1 => worker().prop_map(|worker| Step::Stopping { worker }),
        2 => (worker(), 0_usize..4).prop_map(|(worker, max)| Step::Unpark { worker, max }),
        1 => worker().prop_map(|worker| Step::Deregister { worker }),
        1 => worker().prop_map(|worker| Step::BeginAgain { worker }),
        1 => Just(Step::MakeDue),
    ]
}

/// Plays so many sequences, each on a queue of its own.
fn play(stage: &impl Stage, runtime: &Runtime, cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let played = Cell::new(0);
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..LONGEST), |steps| {
        played.set(played.get() + 1);
        let queue: QueueName = format!("sequences.{}", played.get()).parse().expect("a valid name");
        let sequence = async {
            let mut player = Player::new(stage, queue, WORKERS).await;
            for step in &steps {
                player.take(step).await?;
            }
            player.drain().await
        };
        runtime.block_on(sequence).map_err(TestCaseError::fail)
    });
    if let Err(difference) = result {
        panic!("{difference}");
    }
}

struct InProcess(MemoryBroker);

impl Stage for InProcess {
    type Broker = MemoryBroker;

    fn broker(&self) -> &MemoryBroker {
        &self.0
    }

    fn make_due(&self, _: &QueueName) {
        self.0.advance(DUE_AFTER);
    }
}

struct OnRedis(RedisServer, RedisBroker);

impl Stage for OnRedis {
    type Broker = RedisBroker;

    fn broker(&self) -> &RedisBroker {
        &self.1
    }

    fn make_due(&self, queue: &QueueName) {
        let due = "for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 0, member) end";
        self.0.cli(&["EVAL", due, "1", &format!("{{actor:{queue}}}:scheduled")]);
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn random_calls_of_the_broker_in_this_process_do_what_the_seam_promises() {
    play(&InProcess(MemoryBroker::new()), &runtime(), 1_000);
}

#[test]
fn random_calls_of_the_redis_broker_do_what_the_seam_promises() {
    let runtime = runtime();
    let server = RedisServer::start();
    let broker = runtime.block_on(RedisBroker::connect(&server.url())).unwrap();
    play(&OnRedis(server, broker), &runtime, 150);
}
