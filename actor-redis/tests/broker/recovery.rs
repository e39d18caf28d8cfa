use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Delivery, Renewal};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Inspect, Priority};

use crate::server::{
    LEASE, Server, bodies, claim, end_lease, message, message_of, queue, send, settle, wait_and_claim, worker,
};

async fn deaths(broker: &actor_redis::RedisBroker, consumer: &actor_core::delivery::Consumer) -> bool {
    let renewed = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
    assert!(renewed.held, "the lease was lost");
    renewed.deaths
}

fn crashes(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(|delivery| delivery.crashes).collect()
}

#[tokio::test]
async fn a_dead_worker_is_reported_until_all_it_held_is_taken() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    let low = |body| message_of(Priority::Low, body);
    send(&broker, vec![low("4"), message("1"), message("2"), low("5"), message("3")]).await;
    assert_eq!(claim(&broker, &dead, 5).await.len(), 5);
    end_lease(&server, &dead);
    assert!(deaths(&broker, &alive).await);
    assert_eq!(bodies(&broker.recover(&alive, 2, Duration::ZERO).await.unwrap()), ["1", "2"]);
    assert!(deaths(&broker, &alive).await);
    assert_eq!(bodies(&broker.recover(&alive, 2, Duration::ZERO).await.unwrap()), ["3", "4"]);
    assert!(deaths(&broker, &alive).await);
    assert_eq!(bodies(&broker.recover(&alive, 2, Duration::ZERO).await.unwrap()), ["5"]);
    assert!(!deaths(&broker, &alive).await);
    assert!(broker.recover(&alive, 2, Duration::ZERO).await.unwrap().is_empty());
    // Nothing of it is left but that it was declared dead, in no consumer group and not among the workers.
    let workers: Vec<String> = server.run("ZRANGE {actor:mail}:workers 0 -1");
    assert_eq!(workers, [alive.worker.as_str(), &format!("{}:lost", dead.worker)]);
    for level in ["high:released", "high", "normal:released", "normal", "low:released", "low"] {
        let consumers: Vec<redis::Value> = server.run(&format!("XINFO CONSUMERS {{actor:mail}}:ready:{level} workers"));
        assert!(consumers.len() <= 1, "{level}: {consumers:?}");
    }
}

#[tokio::test]
async fn what_a_dead_worker_held_is_taken_in_steps_that_do_not_hold_up_the_server() {
    let count = 5_000;
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, (0..count).map(|number| message(&number.to_string())).collect()).await;
    assert_eq!(claim(&broker, &dead, count).await.len(), count);
    end_lease(&server, &dead);
    let mut taken = Vec::new();
    while deaths(&broker, &alive).await {
        let step = broker.recover(&alive, usize::MAX, Duration::ZERO).await.unwrap();
        assert!((1..=256).contains(&step.len()), "{} in one step", step.len());
        taken.extend(bodies(&step));
    }
    assert_eq!(taken, (0..count).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_worker_whose_entry_vanished_is_dead_too() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("a")]).await;
    claim(&broker, &dead, 1).await;
    let _: i64 = server.run(&format!("ZREM {{actor:mail}}:workers {}", dead.worker));
    assert_eq!(bodies(&broker.recover(&alive, 1, Duration::ZERO).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn every_death_is_counted_once() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("poison")]).await;
    let mut victim = worker(&broker).await;
    assert_eq!(crashes(&claim(&broker, &victim, 1).await), [0]);
    for deaths in 1..=4 {
        let next = worker(&broker).await;
        end_lease(&server, &victim);
        assert_eq!(crashes(&broker.recover(&next, 1, Duration::ZERO).await.unwrap()), [deaths]);
        victim = next;
    }
}

#[tokio::test]
async fn two_that_recover_at_once_share_what_they_find() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, one, two) = (worker(&broker).await, worker(&broker).await, worker(&broker).await);
    send(&broker, (0..50).map(|number| message(&number.to_string())).collect()).await;
    assert_eq!(claim(&broker, &dead, 50).await.len(), 50);
    end_lease(&server, &dead);
    let (one, two) = tokio::join!(broker.recover(&one, 30, Duration::ZERO), broker.recover(&two, 30, Duration::ZERO));
    let mut all = bodies(&one.unwrap());
    all.extend(bodies(&two.unwrap()));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50);
}

#[tokio::test]
async fn what_a_deregistered_worker_still_held_is_recovered_at_once() {
    let server = Server::start();
    let broker = server.broker().await;
    let (deregistered, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("a")]).await;
    let delivered = claim(&broker, &deregistered, 1).await.remove(0);
    broker.deregister(&deregistered.worker, &[queue()]).await.unwrap();
    assert!(deaths(&broker, &alive).await);
    assert_eq!(bodies(&broker.recover(&alive, 1, Duration::ZERO).await.unwrap()), ["a"]);
    assert!(!deaths(&broker, &alive).await);
    assert_eq!(settle(&broker, &alive, delivered.receipt, Outcome::Done.into()).await, Settled::Applied);
}

#[tokio::test]
async fn a_message_deleted_under_a_dead_worker_is_let_go_and_its_neighbours_are_not() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, ["a", "b", "c"].map(message).into()).await;
    claim(&broker, &dead, 3).await;
    let entries: Vec<(String, Vec<String>)> = server.run("XRANGE {actor:mail}:ready:normal - +");
    let _: i64 = server.run(&format!("XDEL {{actor:mail}}:ready:normal {}", entries[1].0));
    end_lease(&server, &dead);
    assert_eq!(bodies(&broker.recover(&alive, 10, Duration::ZERO).await.unwrap()), ["a", "c"]);
    assert_eq!(broker.counts(&queue()).await.unwrap().in_flight, 2);
    assert!(!deaths(&broker, &alive).await);
}

#[tokio::test]
async fn a_worker_that_died_with_nothing_is_forgotten() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    end_lease(&server, &dead);
    assert!(deaths(&broker, &alive).await);
    assert!(broker.recover(&alive, 10, Duration::ZERO).await.unwrap().is_empty());
    assert!(!deaths(&broker, &alive).await);
    assert_eq!(broker.renew(&dead.worker, &[queue()], LEASE).await.unwrap(), Renewal::lost());
}

#[tokio::test]
async fn what_woke_a_worker_that_died_is_no_message_and_stays_with_nobody() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    let _: String = server.run("XADD {actor:mail}:wake * w 1");
    let read = format!("XREADGROUP GROUP workers {} STREAMS {{actor:mail}}:wake >", dead.worker);
    let _: redis::Value = server.run(&read);
    end_lease(&server, &dead);
    assert!(server.holds_a_wake());
    assert!(broker.recover(&alive, 10, Duration::ZERO).await.unwrap().is_empty());
    assert!(!server.holds_a_wake());
    assert!(!deaths(&broker, &alive).await);
}

/// A claim that does not wait may be woken and end.
#[tokio::test]
async fn a_worker_that_was_woken_and_deregistered_held_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    let (woken, alive) = (worker(&broker).await, worker(&broker).await);
    assert!(claim(&broker, &woken, 1).await.is_empty());
    send(&broker, vec![message("a").after(Duration::from_millis(1))]).await;
    assert!(claim(&broker, &woken, 1).await.is_empty());
    assert!(server.holds_a_wake());
    broker.deregister(&woken.worker, &[queue()]).await.unwrap();
    assert!(!server.holds_a_wake());
    assert!(!deaths(&broker, &alive).await);
    // It claims all the same, as nobody should, and is then one that died with it.
    assert_eq!(bodies(&wait_and_claim(&broker, &woken).await), ["a"]);
    let recovered = broker.recover(&alive, 10, Duration::ZERO).await.unwrap();
    assert_eq!((recovered[0].crashes, recovered[0].interruptions), (1, 0));
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_to_recover() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("a")]).await;
    claim(&broker, &dead, 1).await;
    end_lease(&server, &dead);
    broker.pause(&queue()).await.unwrap();
    assert!(broker.recover(&alive, 1, Duration::ZERO).await.unwrap().is_empty());
    broker.resume(&queue()).await.unwrap();
    assert_eq!(bodies(&broker.recover(&alive, 1, Duration::ZERO).await.unwrap()), ["a"]);
}
