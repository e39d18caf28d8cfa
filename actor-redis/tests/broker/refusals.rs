use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::inspect::{Page, State, Which};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{BrokerError, Inspect, Priority};
use actor_redis::{Error, RedisBroker};

use crate::fake::{introduced, serve};
use crate::server::{
    LEASE, Server, bodies, claim, dead_letter, message, message_of, park, queue, release, retry, send, settle,
    wait_and_claim, worker,
};

async fn refusal(url: &str) -> Error {
    RedisBroker::connect(url).await.expect_err("it was taken")
}

async fn refused(broker: &RedisBroker) -> BrokerError {
    let answers = broker.enqueue(&queue(), vec![message("a"), message("b").after(LEASE)]).await;
    let mut errors: Vec<_> = answers.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors[0].to_string(), errors[1].to_string());
    errors.remove(0)
}

fn says(error: impl std::fmt::Display, words: &str) {
    let text = error.to_string();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

#[tokio::test]
async fn where_nothing_listens_it_says_what_to_check() {
    let error = refusal("redis+unix:///nowhere/at/all").await;
    assert!(error.is_transient());
    says(&error, "check that it runs there");
    let lazy = RedisBroker::builder("redis://127.0.0.1:1").unwrap().connect_lazy().unwrap();
    let error = refused(&lazy).await;
    assert!(error.is_transient() && !error.is_unknown());
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named() {
    let four = serve(|command| match command[0].as_str() {
        "HELLO" => "-ERR unknown command 'HELLO'\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    })
    .await;
    let error = refusal(&four).await;
    assert!(error.is_unsupported(), "{error}");
    says(&error, "at least 6.2");
    let six = serve(|command| introduced(command, "redis_version:6.0.16")).await;
    let error = refusal(&six).await;
    assert!(error.is_unsupported(), "{error}");
    says(&error, "6.0.16");
}

#[tokio::test]
async fn what_main_prints_of_an_error_says_what_to_do() {
    let error = refusal("redis+unix:///nowhere/at/all").await;
    assert_eq!(format!("{error:?}"), format!("{error}: No such file or directory (os error 2)"));
}

#[tokio::test]
async fn a_sentinel_is_named() {
    let sentinel = serve(|command| introduced(command, "redis_version:7.0.15\r\nredis_mode:sentinel")).await;
    let error = refusal(&sentinel).await;
    assert!(error.is_unsupported(), "{error}");
    says(&error, "redis+sentinel://");
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_named_once_and_told_what_to_set() {
    let server = Server::with(&["--maxclients", "3"]);
    let broker = server.broker().await;
    let (one, other) = (worker(&broker).await, server.raw());
    let error = broker.claim(&one, 1, &Wait::new(Duration::ZERO)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    says(&error, "`maxclients`");
    drop(other);
}

#[tokio::test]
async fn a_server_whose_commands_are_renamed_is_named() {
    let server = Server::with(&["--rename-command", "XADD", "xadd-secret"]);
    let broker = server.broker().await;
    let error = broker.enqueue(&queue(), vec![message("a")]).await.remove(0).unwrap_err();
    assert!(!error.is_transient() && !error.is_unknown());
    says(&error, "no command renamed");
}

#[tokio::test]
async fn a_part_of_a_cluster_that_holds_other_keys_is_named() {
    let part = serve(|command| match command[0].as_str() {
        "XADD" | "SADD" | "EVALSHA" => "-MOVED 3999 10.0.0.2:6379\r\n".to_owned(),
        _ => introduced(command, "redis_version:7.0.15\r\nredis_mode:cluster"),
    })
    .await;
    let broker = RedisBroker::connect(&part).await.unwrap();
    let error = refused(&broker).await;
    assert!(!error.is_transient() && !error.is_unknown());
    says(&error, "redis+cluster://");
}

#[tokio::test]
async fn an_answer_that_no_redis_gives_is_no_success() {
    let odd = serve(|command| introduced(command, "redis_version:7.0.15")).await;
    let broker = RedisBroker::connect(&odd).await.unwrap();
    // Alone and with others, the first time and later.
    for count in [1, 1, 2] {
        let messages = (0..count).map(|_| message("a")).collect();
        for answer in broker.enqueue(&queue(), messages).await {
            let error = answer.unwrap_err();
            assert!(error.is_unknown(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_refused() {
    let web = serve(|_| "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()).await;
    assert!(refusal(&web).await.is_transient());
}

#[tokio::test]
async fn a_missing_or_wrong_password_is_named_and_never_shown() {
    let server = Server::alone(&["--requirepass", "open sesame"]);
    let socket = server.socket();
    let error = refusal(&server.url()).await;
    assert!(error.is_denied() && !error.is_transient(), "{error}");
    says(&error, "a password");
    for url in [format!("redis+unix://{socket}?pass=hunter2"), format!("redis+unix://{socket}?user=ada&pass=hunter2")] {
        let error = refusal(&url).await;
        assert!(error.is_denied(), "{error}");
        says(&error, "another user or password");
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let lazy = RedisBroker::builder(&format!("redis+unix://{socket}?pass=hunter2")).unwrap().connect_lazy().unwrap();
    let error = refused(&lazy).await;
    assert!(!error.is_transient());
    assert!(!format!("{lazy:?} {error} {error:?}").contains("hunter2"));
    let broker = RedisBroker::connect(&format!("redis+unix://{socket}?pass=open%20sesame")).await.unwrap();
    send(&broker, vec![message("a")]).await;
    assert!(!format!("{broker:?}").contains("sesame"));
}

/// A broker whose user has the permissions that the documentation gives it.
pub(crate) async fn documented(server: &Server, user: &str) -> RedisBroker {
    let page = include_str!("../../../docs/redis-keys.md");
    let command = page.lines().find(|line| line.starts_with(&format!("ACL SETUSER {user} "))).unwrap();
    let _: String = server.run(&command.replace("<password>", "secret"));
    let url = format!("redis+unix://{}?user={user}&pass=secret", server.socket());
    RedisBroker::connect(&url).await.unwrap()
}

#[tokio::test]
async fn a_service_that_only_sends_needs_no_more_than_is_documented() {
    let server = Server::start();
    let broker = documented(&server, "sender").await;
    send(&broker, vec![message("now"), message("scheduled").after(LEASE)]).await;
    server.cut_all();
    while broker.enqueue(&queue(), vec![message("again")]).await[0].is_err() {}
    let denied: Vec<redis::Value> = server.run("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
    // And it cannot read what it sent.
    assert!(broker.list(&queue(), State::Ready, Page::first(1)).await.is_err());
}

#[tokio::test]
async fn a_user_with_the_documented_permissions_can_do_everything_and_no_more_is_needed() {
    let server = Server::start();
    let broker = documented(&server, "actor").await;
    let consumer = worker(&broker).await;
    let dead = worker(&broker).await;
    send(&broker, (0..7).map(|number| message(&number.to_string())).collect()).await;
    send(&broker, vec![message("soon").after(Duration::from_millis(1))]).await;
    claim(&broker, &dead, 1).await;
    crate::server::end_lease(&server, &dead);
    assert_eq!(broker.recover(&consumer, 1, Duration::ZERO).await.unwrap().len(), 1);
    let mut delivered = claim(&broker, &consumer, 10).await.into_iter().map(|delivery| delivery.receipt);
    let done = Outcome::Done.into();
    for end in [done, retry("r", LEASE), park("p", "a"), dead_letter("b", "why"), release("back")] {
        assert_eq!(settle(&broker, &consumer, delivered.next().unwrap(), end).await, Settled::Applied);
    }
    assert_eq!(broker.unpark(&consumer, &["a"], 10).await.unwrap().len(), 1);
    assert!(!wait_and_claim(&broker, &consumer).await.is_empty());
    let inspected = queue();
    broker.queues().await.unwrap();
    broker.counts(&inspected).await.unwrap();
    for state in [State::Ready, State::InFlight, State::Scheduled, State::Dead] {
        let listing = broker.list(&inspected, state, Page::first(10)).await.unwrap();
        for listed in listing.messages {
            broker.read(&inspected, state, &listed.handle).await.unwrap();
        }
    }
    assert_eq!(broker.audit(&inspected, 1_000).await.unwrap().violations, []);
    broker.replay(&inspected, Which::All).await.unwrap();
    for state in [State::Ready, State::Scheduled, State::Dead] {
        broker.purge(&inspected, state).await.unwrap();
    }
    broker.pause(&inspected).await.unwrap();
    broker.resume(&inspected).await.unwrap();
    server.cut_all();
    while broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err() {}
    while broker.counts(&inspected).await.is_err() {}
    broker.stopping(&consumer.worker, &[queue()]).await.unwrap();
    broker.deregister(&consumer.worker, &[queue()]).await.unwrap();
    let denied: Vec<redis::Value> = server.run("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
}

#[tokio::test]
async fn a_user_who_may_not_write_is_told_where_the_permissions_stand() {
    let server = Server::start();
    let _: String = server.run("ACL SETUSER reader on >secret ~* +@read +client +info +time");
    let url = format!("redis+unix://{}?user=reader&pass=secret", server.socket());
    let broker = RedisBroker::connect(&url).await.unwrap();
    let answers = broker.enqueue(&queue(), vec![message("a")]).await;
    let error = answers.into_iter().next().unwrap().unwrap_err();
    assert!(!error.is_transient() && !error.is_unknown());
    says(&error, "docs/redis-keys.md");
}

#[tokio::test]
async fn out_of_memory_nothing_new_is_stored_and_what_is_there_is_worked_off() {
    let server = Server::start();
    let broker = server.broker().await;
    let before = worker(&broker).await;
    send(&broker, ["done", "retry", "dead-letter", "release", "kept"].map(message).into()).await;
    send(&broker, vec![message("due").after(Duration::from_millis(1))]).await;
    let delivered = claim(&broker, &before, 4).await;
    let _: String = server.run("CONFIG SET maxmemory 1");
    let error = refused(&broker).await;
    assert!(error.is_transient() && !error.is_unknown());
    says(&error, "out of memory");
    // A worker can still live, start, and settle, or the memory would stay full for ever.
    broker.renew(&before.worker, &[queue()], LEASE).await.unwrap();
    let after = worker(&broker).await;
    for (delivery, settlement) in delivered.into_iter().zip([
        Outcome::Done.into(),
        retry("retried", Duration::from_millis(1)),
        dead_letter("dead-lettered", "why"),
        release("released"),
    ]) {
        assert_eq!(settle(&broker, &before, delivery.receipt, settlement).await, Settled::Applied);
    }
    let mut got = Vec::new();
    while got.len() < 4 {
        got.extend(bodies(&wait_and_claim(&broker, &after).await));
    }
    got.sort_unstable();
    assert_eq!(got, ["due", "kept", "released", "retried"]);
    let _: String = server.run("CONFIG SET maxmemory 0");
    crate::server::end_lease(&server, &after);
    let _: String = server.run("CONFIG SET maxmemory 1");
    assert_eq!(broker.recover(&before, 10, Duration::ZERO).await.unwrap().len(), 4);
    assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 1);
    broker.deregister(&before.worker, &[queue()]).await.unwrap();
}

#[tokio::test]
async fn a_worker_can_start_out_of_memory_at_a_queue_that_never_had_one() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("a")]).await;
    let _: String = server.run("CONFIG SET maxmemory 1");
    let consumer = worker(&broker).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["a"]);
}

#[tokio::test]
async fn a_read_only_replica_is_named() {
    let server = Server::alone(&[]);
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("a")]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    let _: String = server.run("REPLICAOF 127.0.0.1 1");
    let error = refused(&broker).await;
    assert!(error.is_transient() && !error.is_unknown());
    says(&error, "read-only replica");
    let error = broker.settle(&consumer, &[(delivered.receipt, Outcome::Done.into())]).await.remove(0).unwrap_err();
    says(&error, "read-only replica");
    says(broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap_err(), "read-only replica");
}

#[tokio::test]
async fn a_server_that_is_loading_is_waited_for() {
    // A server that loads takes requests after every 2 MB, and here it needs a while for these.
    let mut server = Server::alone(&["--key-load-delay", "300", "--rdbcompression", "no"]);
    let mut fill = redis::pipe();
    for number in 0..4_000 {
        fill.cmd("SET").arg(number).arg("x".repeat(4096)).ignore();
    }
    fill.exec(&mut server.raw()).unwrap();
    let _: String = server.run("SAVE");
    server.kill();
    server.start_loading();
    let broker = server.broker().await;
    let error = refused(&broker).await;
    assert!(error.is_transient() && !error.is_unknown(), "{error}");
    says(&error, "loading its data");
    while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_that_holds_something_else_fails_only_the_messages_that_need_it() {
    let server = Server::start();
    let broker = server.broker().await;
    let _: String = server.run("SET {actor:mail}:ready:high mine");
    let answers = broker.enqueue(&queue(), vec![message("a"), message_of(Priority::High, "b"), message("c")]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert!(!error.is_transient() && !error.is_unknown());
    says(error, "holds something else");
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 2);
}

#[tokio::test]
async fn a_failure_that_cannot_be_stored_keeps_its_message_and_fails_no_other() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, ["done", "retry", "dead-letter", "release"].map(message).into()).await;
    let _: String = server.run("SET {actor:mail}:scheduled:bodies mine");
    let _: String = server.run("SET {actor:mail}:dead:reasons mine");
    let delivered = claim(&broker, &consumer, 4).await.into_iter().map(|delivery| delivery.receipt);
    let ends = [Outcome::Done.into(), retry("r", LEASE), dead_letter("b", "w"), release("back")];
    let settlements: Vec<_> = delivered.zip(ends).collect();
    let answers = broker.settle(&consumer, &settlements).await;
    assert_eq!(*answers[0].as_ref().unwrap(), Settled::Applied);
    assert_eq!(*answers[3].as_ref().unwrap(), Settled::Applied);
    for refused in [&answers[1], &answers[2]] {
        says(refused.as_ref().unwrap_err(), "holds something else");
    }
    assert_eq!(broker.counts(&queue()).await.unwrap().in_flight, 2);
    // The person removes what was in the way: the same settlements work.
    let _: i64 = server.run("DEL {actor:mail}:scheduled:bodies {actor:mail}:dead:reasons");
    let answers = broker.settle(&consumer, &settlements[1..3]).await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == Settled::Applied));
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled, counts.dead), (1, 0, 1, 1));
    assert_eq!(broker.audit(&queue(), 100).await.unwrap().violations, [], "half of something has stayed");
}

#[tokio::test]
async fn a_namespace_that_could_break_a_key_is_refused() {
    for odd in ["", "a b", "{a}", "a:b", &"x".repeat(65)] {
        let error = RedisBroker::builder("redis://h").unwrap().namespace(odd).connect_lazy().unwrap_err();
        assert!(error.is_invalid(), "{error}");
    }
}

#[tokio::test]
async fn two_namespaces_share_a_server_and_see_nothing_of_each_other() {
    let server = Server::start();
    let (mine, theirs) = (server.broker().await, RedisBroker::builder(&server.url()).unwrap().namespace("theirs"));
    let theirs = theirs.connect().await.unwrap();
    let (me, them) = (worker(&mine).await, worker(&theirs).await);
    send(&mine, vec![message("mine")]).await;
    send(&theirs, vec![message("theirs")]).await;
    assert_eq!(bodies(&claim(&mine, &me, 5).await), ["mine"]);
    assert_eq!(bodies(&claim(&theirs, &them, 5).await), ["theirs"]);
}

#[tokio::test]
async fn a_database_of_its_own_is_used() {
    let server = Server::alone(&[]);
    let broker = RedisBroker::connect(&format!("{}?db=3", server.url())).await.unwrap();
    send(&broker, vec![message("a")]).await;
    assert_eq!(server.run::<i64>("DBSIZE"), 0);
    let error = refusal(&format!("{}?db=99", server.url())).await;
    assert!(!error.is_transient());
    says(error, "refused");
}

#[tokio::test]
async fn a_server_with_too_many_connections_is_tried_again() {
    let server = Server::with(&["--maxclients", "1"]);
    let held = server.raw();
    let error = refusal(&server.url()).await;
    assert!(error.is_transient(), "{error}");
    says(error, "maxclients");
    drop(held);
}

#[test]
fn outside_of_a_runtime_it_says_so() {
    let broker = RedisBroker::builder("redis://127.0.0.1:1").unwrap().connect_lazy().unwrap();
    let queue = queue();
    let mut call = std::pin::pin!(broker.enqueue(&queue, vec![message("a")]));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match call.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(answers) => says(answers[0].as_ref().unwrap_err(), "no tokio runtime"),
        std::task::Poll::Pending => panic!("it waits for a runtime that is not there"),
    }
}
