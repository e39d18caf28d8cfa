use std::time::{Duration, Instant, SystemTime};

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::Wait;
use actor_core::schedule::{
    Change, Declared, Due, DueSchedule, Fired, Firing, NewSchedule, ScheduleState, Schedules, Then,
};
use actor_core::{MessageId, Priority};
use actor_redis::RedisBroker;

use crate::server::{Server, claim, queue, worker};

const HOUR: Duration = Duration::from_secs(3600);
/// Sooner than a worker would look without being woken.
const PROMPT: Duration = Duration::from_secs(4);

fn new(name: &str) -> NewSchedule {
    NewSchedule::new(name, "timing", "body".into())
}

async fn upsert(broker: &RedisBroker, names: &[&str]) {
    let all: Vec<_> = names.iter().map(|name| new(name)).collect();
    for stored in broker.upsert(&queue(), &all).await {
        stored.unwrap();
    }
}

async fn due(broker: &RedisBroker, limit: Duration) -> Due {
    broker.due(&queue(), 100, &Wait::new(limit)).await.unwrap()
}

async fn due_now(broker: &RedisBroker) -> Vec<DueSchedule> {
    due(broker, Duration::ZERO).await.schedules
}

fn then(tick: SystemTime) -> Then {
    Then::Next { tick, due: tick }
}

fn message() -> Enqueue {
    Enqueue::new(MessageId::new(), Priority::Normal, "{}".into())
}

async fn fire(broker: &RedisBroker, firing: Firing) -> Fired {
    broker.fire(&queue(), &[firing]).await.remove(0).unwrap()
}

/// Gives a schedule its next tick.
async fn next(broker: &RedisBroker, wait: Duration) {
    let found = due(broker, Duration::ZERO).await;
    let all: Vec<_> = found.schedules.iter().map(|due| Firing::new(due, then(found.now + wait))).collect();
    for fired in broker.fire(&queue(), &all).await {
        assert_eq!(fired.unwrap(), Fired::Fired);
    }
}

#[tokio::test]
async fn brokers_that_race_for_due_ticks_fire_each_once() {
    let server = Server::start();
    let broker = server.broker().await;
    let names: Vec<String> = (0..40).map(|n| format!("schedule {n}")).collect();
    upsert(&broker, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    next(&broker, Duration::ZERO).await;
    let mut racers = Vec::new();
    for _ in 0..8 {
        let broker = server.broker().await;
        racers.push(tokio::spawn(async move {
            let found = due(&broker, Duration::ZERO).await;
            let tick =
                |due: &DueSchedule| Firing::new(due, then(found.now + HOUR)).messages(vec![message()], found.now);
            let answers = broker.fire(&queue(), &found.schedules.iter().map(tick).collect::<Vec<_>>()).await;
            answers.into_iter().filter(|fired| matches!(fired, Ok(Fired::Fired))).count()
        }));
    }
    let mut fired = 0;
    for racer in racers {
        fired += racer.await.unwrap();
    }
    assert_eq!(fired, 40);
    let consumer = worker(&broker).await;
    assert_eq!(claim(&broker, &consumer, 100).await.len(), 40);
    assert!(due_now(&broker).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_waits_is_told_of_what_another_process_stores() {
    let server = Server::start();
    let (broker, other) = (server.broker().await, server.broker().await);
    let consumer = worker(&broker).await;
    let claiming = tokio::spawn({
        let (broker, wait) = (broker.clone(), Wait::new(HOUR));
        async move { broker.claim(&consumer, 1, &wait).await.unwrap() }
    });
    server.until_a_read_waits().await;
    assert!(due_now(&broker).await.is_empty());
    let began = Instant::now();
    let (found, ()) = tokio::join!(due(&broker, HOUR), upsert(&other, &["it"]));
    assert_eq!(found.schedules[0].name, "it");
    assert!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
    // And of its tick, at its time.
    let soon = Duration::from_millis(300);
    let firing = Firing::new(&found.schedules[0], then(found.now + soon));
    assert_eq!(fire(&other, firing).await, Fired::Fired);
    let found = due(&broker, Duration::ZERO).await;
    assert!(found.schedules.is_empty() && found.any);
    let ticked = due(&broker, HOUR).await;
    let late = ticked.now.duration_since(ticked.schedules[0].tick.unwrap()).unwrap();
    assert!(late < Duration::from_millis(250), "{late:?} late");
    let firing = Firing::new(&ticked.schedules[0], then(ticked.now + HOUR)).messages(vec![message()], ticked.now);
    assert_eq!(fire(&broker, firing).await, Fired::Fired);
    assert_eq!(claiming.await.unwrap().len(), 1);
}

#[tokio::test]
async fn waiting_for_a_tick_asks_for_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    upsert(&broker, &["it"]).await;
    next(&broker, HOUR).await;
    let calls = || {
        let stats: String = server.run("INFO commandstats");
        let of_scripts = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        of_scripts.and_then(|stats| stats.split(',').next()).unwrap().to_owned()
    };
    let before = calls();
    tokio::select! {
        found = due(&broker, HOUR) => panic!("it is not due: {found:?}"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {} // That nothing is asked has no event.
    }
    assert_eq!(calls(), before);
}

#[tokio::test]
async fn what_nobody_declares_fires_no_more_and_is_removed_a_day_later() {
    let server = Server::start();
    let broker = server.broker().await;
    let declare = async |names: &[&str], begins| {
        let all: Vec<_> = names.iter().map(|name| new(name)).collect();
        broker.declare(&queue(), &all, begins).await.unwrap()
    };
    let state = async |name: &str| broker.read_schedule(&queue(), name).await.unwrap().map(|found| found.state);
    declare(&["kept", "gone"], true).await;
    // Workers were there for so long.
    let served = |ms: u128| {
        let _: u64 = server.run(&format!("HSET {{actor:{}}}:schedules:clock served {ms}", queue()));
    };
    served(Declared::UNDECLARED_AFTER.as_millis() - 60_000);
    assert_eq!(declare(&["kept"], false).await, Declared::default());
    served(Declared::UNDECLARED_AFTER.as_millis() + 60_000);
    let found = declare(&["kept"], false).await;
    assert_eq!((found.undeclared, found.removed), (vec!["gone".to_owned()], vec![]));
    assert!(matches!(state("gone").await, Some(ScheduleState::Undeclared(_))));
    let firing: Vec<String> = due_now(&broker).await.into_iter().map(|due| due.name).collect();
    assert_eq!(firing, ["kept"]);
    served(Declared::REMOVED_AFTER.as_millis() + 120_000);
    assert_eq!(declare(&["kept"], false).await.removed, ["gone"]);
    assert_eq!((state("gone").await, state("kept").await), (None, Some(ScheduleState::Active)));
}

#[tokio::test]
async fn an_index_whose_schedules_are_gone_is_mended_and_holds_up_nobody() {
    let server = Server::start();
    let broker = server.broker().await;
    upsert(&broker, &["gone", "kept"]).await;
    let _: u64 = server.run(&format!("HDEL {{actor:{}}}:schedules:specs gone", queue()));
    let names: Vec<String> = due_now(&broker).await.into_iter().map(|due| due.name).collect();
    assert_eq!(names, ["kept"]);
    assert!(!broker.change_schedule(&queue(), "gone", Change::Pause).await.unwrap());
    // All is lost: nothing is due, and it can be stored again.
    let _: String = server.run("FLUSHALL");
    assert!(!due(&broker, Duration::ZERO).await.any);
    upsert(&broker, &["kept"]).await;
    assert_eq!(due_now(&broker).await.len(), 1);
}

#[tokio::test]
async fn out_of_memory_a_tick_waits_and_is_not_lost() {
    let server = Server::start();
    let broker = server.broker().await;
    upsert(&broker, &["it"]).await;
    next(&broker, Duration::ZERO).await;
    let due = due_now(&broker).await.remove(0);
    let tick = due.tick.unwrap();
    let firing = Firing::new(&due, then(tick + HOUR)).messages(vec![message()], tick);
    let _: String = server.run("CONFIG SET maxmemory 1");
    let refused = broker.fire(&queue(), std::slice::from_ref(&firing)).await.remove(0).unwrap_err();
    assert!(refused.is_transient() && !refused.is_unknown(), "{refused}");
    let _: String = server.run("CONFIG SET maxmemory 0");
    assert_eq!(fire(&broker, firing).await, Fired::Fired);
}
