//! A primary with replicas of a test's own. One that is cut off keeps what it has and gets no more, as where the
//! network between the two broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actor_core::broker::{Broker, Enqueued};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{BrokerError, Durability};
use actor_redis::RedisBroker;
use tokio::task::JoinHandle;

use crate::refusals::documented;
use crate::server::{LEASE, Server, claim, message, queue, send, settle, worker};

const ONE: Durability = Durability::Replicated(1);
const TWO: Durability = Durability::Replicated(2);

const READY: &str = "{actor:mail}:ready:normal";

struct Replicated {
    primary: Server,
    replicas: Vec<Server>,
}

impl Replicated {
    /// Replicas that have all that the primary has.
    async fn by(replicas: usize) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let primary = Server::alone(&["--repl-diskless-sync-delay", "0", "--port", &free]);
        let follow = |_| Server::alone(&["--replicaof", "127.0.0.1", &free]);
        let set = Self { replicas: (0..replicas).map(follow).collect(), primary };
        while set.primary.run::<String>("INFO replication").matches("state=online").count() < replicas {
            tokio::task::yield_now().await;
        }
        set
    }

    async fn broker(&self) -> RedisBroker {
        self.primary.broker().await
    }
}

fn cut_off(replica: &Server) {
    let _: String = replica.run("REPLICAOF 127.0.0.1 1");
}

fn promote(replica: &Server) {
    let _: String = replica.run("REPLICAOF NO ONE");
}

async fn send_as(broker: &RedisBroker, body: &str, durability: Durability) -> Result<Enqueued, BrokerError> {
    broker.enqueue(&queue(), vec![message(body).durability(durability)]).await.remove(0)
}

/// A send that waits for a replica which does not answer.
async fn waits(broker: &RedisBroker, server: &Server) -> JoinHandle<Result<Enqueued, BrokerError>> {
    let broker = broker.clone();
    let mut sending = tokio::spawn(async move { send_as(&broker, "it waits", ONE).await });
    tokio::select! {
        () = server.until_a_confirmation_waits() => sending,
        ended = &mut sending => panic!("it did not wait: {ended:?}"),
    }
}

/// The bodies of what is ready.
fn stored(server: &Server) -> Vec<String> {
    let entries: Vec<(String, (String, String))> = server.run(&format!("XRANGE {READY} - +"));
    let mut bodies: Vec<_> = entries.into_iter().map(|(_, (_, body))| body).collect();
    bodies.sort();
    bodies
}

fn calls(server: &Server, command: &str) -> usize {
    let stats: String = server.run("INFO commandstats");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// That a message is stored, and this was not reached.
fn is_stored_only(answer: Result<Enqueued, BrokerError>, text: &str) {
    let error = answer.unwrap_err();
    assert!(error.is_stored() && !error.is_unknown() && !error.is_transient(), "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn a_replica_that_stands_still_leaves_a_message_stored_once_and_not_replicated() {
    let set = Replicated::by(1).await;
    let broker = set.broker().await;
    send_as(&broker, "a", ONE).await.unwrap();
    assert_eq!(stored(&set.replicas[0]), ["a"]);
    set.replicas[0].freeze();
    is_stored_only(send_as(&broker, "b", ONE).await, "stored, not replicated: 0 of 1 replicas");
    assert_eq!(stored(&set.primary), ["a", "b"]);
    set.replicas[0].thaw();
    send_as(&broker, "c", ONE).await.unwrap();
    assert_eq!(stored(&set.replicas[0]), ["a", "b", "c"], "a replica that confirms has all that came before");
}

#[tokio::test]
async fn plain_sends_and_settlements_do_not_wait_behind_a_durable_send() {
    let set = Replicated::by(1).await;
    let broker = set.broker().await;
    let consumer = worker(&broker).await;
    set.replicas[0].freeze();
    // A busy machine may need longer for the others than the durable one waits.
    for _ in 0..5 {
        let durable = waits(&broker, &set.primary).await;
        send(&broker, vec![message("plain")]).await;
        send(&broker, vec![message("scheduled").after(LEASE), message("plain")]).await;
        for delivery in claim(&broker, &consumer, 3).await {
            assert_eq!(settle(&broker, &consumer, delivery.receipt, Outcome::Done.into()).await, Settled::Applied);
        }
        let is_overtaken = !durable.is_finished();
        is_stored_only(durable.await.unwrap(), "0 of 1");
        if is_overtaken {
            return;
        }
    }
    panic!("each time it was all behind the durable one");
}

#[tokio::test]
async fn each_message_of_a_group_is_answered_by_its_own_durability_and_one_wait_serves_all() {
    let set = Replicated::by(1).await;
    let broker = set.broker().await;
    send_as(&broker, "00", ONE).await.unwrap();
    let levels = [None, Some(ONE), Some(TWO)];
    let sending: Vec<_> = (1..=60)
        .map(|number| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let message = message(&format!("{number:02}"));
                let message = match levels[number % 3] {
                    Some(durability) => message.durability(durability),
                    None => message,
                };
                (number, broker.enqueue(&queue(), vec![message]).await.remove(0))
            })
        })
        .collect();
    for sent in sending {
        let (number, answer) = sent.await.unwrap();
        if levels[number % 3] == Some(TWO) {
            is_stored_only(answer, "1 of 2 replicas");
        } else {
            answer.unwrap();
        }
    }
    assert_eq!(stored(&set.primary), (0..=60).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    let waits = calls(&set.primary, "wait") - 1;
    assert!(waits <= 3, "40 durable messages took {waits} waits");
    // And so it is within one call, to which they all belong.
    let of = |durability: Option<Durability>, number: u64| {
        let message = message("in one call").after(LEASE * u32::from(number % 2 == 1));
        durability.map_or(message.clone(), |durability| message.durability(durability))
    };
    let mixed = [None, Some(TWO), Some(ONE), Some(ONE), None].into_iter().zip(0..).map(|(level, n)| of(level, n));
    let answers = broker.enqueue(&queue(), mixed.collect()).await;
    let ok: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true, true]);
}

#[tokio::test]
async fn what_all_replicas_confirmed_is_there_whichever_is_promoted() {
    let mut set = Replicated::by(1).await;
    let broker = set.broker().await;
    let (confirmed, is_cut_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let sending: Vec<_> = (0..8)
        .map(|sender| {
            let (broker, confirmed, is_cut_off) = (broker.clone(), Arc::clone(&confirmed), Arc::clone(&is_cut_off));
            tokio::spawn(async move {
                let mut sent = Vec::new();
                for number in 0.. {
                    let body = format!("{sender} {number}");
                    let was_cut_off = is_cut_off.load(Ordering::Relaxed);
                    match send_as(&broker, &body, ONE).await {
                        Ok(_) if was_cut_off => panic!("{body} was confirmed by nobody"),
                        Ok(_) => {
                            confirmed.fetch_add(1, Ordering::Relaxed);
                            sent.push(body);
                        }
                        Err(error) if was_cut_off => return (sent, body, error),
                        // On a busy machine a replica may take longer.
                        Err(error) => assert!(error.is_stored(), "{error}"),
                    }
                }
                unreachable!("numbers do not end")
            })
        })
        .collect();
    while confirmed.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    cut_off(&set.replicas[0]);
    is_cut_off.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut unconfirmed) = (Vec::new(), Vec::new());
    for ended in sending {
        let (sent, last, error) = ended.await.unwrap();
        assert!(error.is_stored(), "{error}");
        acknowledged.extend(sent);
        unconfirmed.push(last);
    }
    let all = stored(&set.primary);
    assert!(unconfirmed.iter().all(|body| all.contains(body)), "one that was said to be stored is not");
    is_stored_only(send_as(&broker, "late", ONE).await, "0 of 1");
    set.primary.kill();
    promote(&set.replicas[0]);
    let survived = stored(&set.replicas[0]);
    let lost: Vec<_> = acknowledged.iter().filter(|body| !survived.contains(body)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(!survived.contains(&"late".to_owned()), "no replica had it");
}

#[tokio::test]
async fn what_one_of_two_replicas_confirmed_is_lost_where_the_other_is_promoted() {
    let mut set = Replicated::by(2).await;
    let broker = set.broker().await;
    send_as(&broker, "on both", TWO).await.unwrap();
    cut_off(&set.replicas[1]);
    send_as(&broker, "on one", ONE).await.unwrap();
    is_stored_only(send_as(&broker, "on one too", TWO).await, "1 of 2 replicas");
    set.primary.kill();
    promote(&set.replicas[1]);
    assert_eq!(stored(&set.replicas[1]), ["on both"]);
    assert_eq!(stored(&set.replicas[0]), ["on both", "on one", "on one too"]);
}

#[tokio::test]
async fn a_connection_that_breaks_while_it_waits_leaves_a_message_stored() {
    let server = Server::start();
    let broker = server.broker().await;
    let durable = waits(&broker, &server).await;
    server.cut_all();
    is_stored_only(durable.await.unwrap(), "perhaps not replicated");
    assert_eq!(stored(&server), ["it waits"]);
}

#[tokio::test]
async fn a_brokers_durability_is_that_of_all_messages_which_ask_for_none() {
    let server = Server::start();
    let broker = RedisBroker::builder(&server.url()).unwrap().durability(ONE).connect().await.unwrap();
    send(&broker, vec![message("it loads the script").after(LEASE).durability(Durability::Stored)]).await;
    for answer in broker.enqueue(&queue(), vec![message("a"), message("b").after(LEASE)]).await {
        is_stored_only(answer, "0 of 1");
    }
    send_as(&broker, "c", Durability::Stored).await.unwrap();
    send_as(&broker, "d", Durability::Replicated(0)).await.unwrap();
    assert_eq!(calls(&server, "wait"), 1);
    // Scripts that the server has forgotten are sent again, and waited for after that.
    let _: String = server.run("SCRIPT FLUSH");
    is_stored_only(broker.enqueue(&queue(), vec![message("e").after(LEASE)]).await.remove(0), "0 of 1");
    assert_eq!((calls(&server, "wait"), server.run("ZCARD {actor:mail}:scheduled")), (3, 3));
}

#[tokio::test]
async fn a_user_who_may_not_wait_for_replicas_is_told_that_the_message_is_stored() {
    let server = Server::start();
    let broker = documented(&server, "sender").await;
    is_stored_only(send_as(&broker, "a", ONE).await, "docs/redis-keys.md");
    let page = include_str!("../../../docs/redis-keys.md");
    assert!(page.contains("`+wait`") && page.contains("`+waitaof`"));
    let _: String = server.run("ACL SETUSER sender +wait");
    is_stored_only(send_as(&broker, "b", ONE).await, "0 of 1 replicas");
    assert_eq!(stored(&server), ["a", "b"]);
}

#[tokio::test]
async fn what_sends_nothing_durable_has_no_connection_for_it() {
    let server = Server::start();
    let broker = server.broker().await;
    let is_brokers = |client: &&str| !client.contains("cmd=client");
    let connections = || server.run::<String>("CLIENT LIST").lines().filter(is_brokers).count();
    send(&broker, vec![message("a")]).await;
    let before = connections();
    send_as(&broker, "b", Durability::Stored).await.unwrap();
    assert_eq!(connections(), before);
    is_stored_only(send_as(&broker, "c", ONE).await, "0 of 1");
    assert_eq!(connections(), before + 1);
}

#[tokio::test]
async fn what_should_be_synced_is_and_a_server_that_cannot_is_named_before_anything_is_stored() {
    let server = Server::alone(&["--appendonly", "yes"]);
    let info: String = server.run("INFO server");
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().trim().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    let broker = server.broker().await;
    let connecting = RedisBroker::builder(&server.url()).unwrap().durability(Durability::Synced).connect().await;
    if (numbers.next(), numbers.next()) >= (Some(7), Some(2)) {
        assert!(connecting.is_ok());
        send_as(&broker, "a", Durability::Synced).await.unwrap();
        assert_eq!(calls(&server, "waitaof"), 1);
        let _: String = server.run("CONFIG SET appendonly no");
        is_stored_only(send_as(&broker, "b", Durability::Synced).await, "set `appendonly yes`");
        assert_eq!(stored(&server), ["a", "b"]);
        return;
    }
    let error = connecting.unwrap_err();
    assert!(error.is_unsupported() && !error.is_transient(), "{error}");
    assert!(error.to_string().contains(&version) && error.to_string().contains("upgrade the server"), "{error}");
    let mixed = vec![message("a"), message("b").durability(Durability::Synced), message("c")];
    let mut answers = broker.enqueue(&queue(), mixed).await;
    let refused = answers.remove(1).unwrap_err();
    assert!(!refused.is_stored() && !refused.is_unknown() && !refused.is_transient(), "{refused}");
    assert_eq!(refused.to_string(), error.to_string());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(stored(&server), ["a", "c"]);
}
