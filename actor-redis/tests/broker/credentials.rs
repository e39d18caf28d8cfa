use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Wait};
use actor_core::settlement::Outcome;
use actor_core::{BrokerError, Inspect};
use actor_redis::{Credentials, CredentialsProvider, RedisBroker, RedisBrokerBuilder};
use async_trait::async_trait;
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;

use crate::server::{Server, bodies, claim, message, queue, send, settle, wait_and_claim, worker};
use crate::warnings::Log;

/// What every password in these tests begins with.
const SECRET: &str = "hunter2";
const HOUR: Duration = Duration::from_secs(3_600);
/// A connection is authenticated again after a second or two, with two seconds left.
const SHORT: Duration = Duration::from_secs(4);

/// A provider that does what a test tells it to, and counts.
#[derive(Clone)]
struct Source(Arc<(Mutex<Answer>, watch::Sender<usize>)>);

#[derive(Clone)]
enum Answer {
    Give(Credentials),
    Fail,
    Hang,
}

impl Source {
    fn new(credentials: Credentials) -> Self {
        Self(Arc::new((Mutex::new(Answer::Give(credentials)), watch::Sender::new(0))))
    }

    fn answer(&self, answer: Answer) {
        *self.0.0.lock().unwrap() = answer;
    }

    fn give(&self, credentials: Credentials) {
        self.answer(Answer::Give(credentials));
    }

    fn calls(&self) -> usize {
        *self.0.1.borrow()
    }

    async fn until_called(&self, times: usize) {
        let mut calls = self.0.1.subscribe();
        patiently(calls.wait_for(|calls| *calls >= times)).await.unwrap();
    }
}

#[async_trait]
impl CredentialsProvider for Source {
    async fn credentials(&self) -> Result<Credentials, Box<dyn std::error::Error + Send + Sync>> {
        let answer = self.0.0.lock().unwrap().clone();
        self.0.1.send_modify(|calls| *calls += 1);
        match answer {
            Answer::Give(credentials) => Ok(credentials),
            Answer::Fail => Err("the vault is sealed".into()),
            Answer::Hang => std::future::pending().await,
        }
    }
}

/// Waits for long: only against a test that hangs.
async fn patiently<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it never came")
}

async fn until(is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await; // Some looks are connections.
        }
    };
    patiently(look).await;
}

/// The password of a user of this name.
fn of(user: &str) -> Credentials {
    Credentials::new(user, format!("{SECRET}-{user}"))
}

/// Makes a user who may do everything.
fn add(server: &Server, user: &str) {
    let _: String = server.run(&format!("ACL SETUSER {user} on >{SECRET}-{user} ~* &* +@all"));
}

/// Deletes a user, and so closes all connections that are still authenticated as this one.
fn delete(server: &Server, user: &str) {
    let _: i64 = server.run(&format!("ACL DELUSER {user}"));
}

fn builder(server: &Server) -> RedisBrokerBuilder {
    RedisBroker::builder(&server.url()).unwrap()
}

/// A server with the user `ada`, and a broker of this user.
async fn as_ada(valid_for: Duration) -> (Server, Source, RedisBroker) {
    let server = Server::start();
    add(&server, "ada");
    add(&server, "bob");
    let source = Source::new(of("ada").valid_for(valid_for));
    let broker = builder(&server).credentials(source.clone()).unwrap().connect().await.unwrap();
    (server, source, broker)
}

/// The connections that are authenticated as a user, as the server lists them.
fn connections(server: &Server, user: &str) -> Vec<String> {
    let clients: String = server.run("CLIENT LIST");
    clients.lines().filter(|client| client.contains(&format!(" user={user} "))).map(str::to_owned).collect()
}

fn id(connection: &str) -> String {
    connection.split(' ').next().unwrap().to_owned()
}

/// Waits until so many connections are authenticated as a user, and returns their ids.
async fn until_connected(server: &Server, user: &str, count: usize) -> Vec<String> {
    until(|| connections(server, user).len() == count).await;
    connections(server, user).iter().map(|connection| id(connection)).collect()
}

async fn sent(broker: &RedisBroker) -> Result<(), BrokerError> {
    broker.enqueue(&queue(), vec![message("a")]).await.remove(0).map(drop)
}

async fn until_sent(broker: &RedisBroker) {
    let send = async {
        while sent(broker).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    patiently(send).await;
}

/// A log of everything.
fn everything() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn each_connection_has_the_password_of_its_time() {
    let server = Server::start();
    let _: String = server.run("ACL SETUSER app on >hunter2-old ~* &* +@all");
    let source = Source::new(Credentials::new("app", "hunter2-old"));
    let broker = builder(&server).credentials(source.clone()).unwrap().connect().await.unwrap();
    let _: String = server.run("ACL SETUSER app >hunter2-new <hunter2-old");
    // A connection that stands is not asked for the password again.
    sent(&broker).await.unwrap();
    source.give(Credentials::new("app", "hunter2-new"));
    server.cut_all();
    until_sent(&broker).await;
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn a_password_without_a_user_is_that_of_the_default_user() {
    let server = Server::alone(&["--requirepass", "hunter2"]);
    let source = Source::new(Credentials::password("hunter2").valid_for(SHORT));
    let broker = builder(&server).credentials(source.clone()).unwrap().connect().await.unwrap();
    source.until_called(2).await;
    sent(&broker).await.unwrap();
}

#[tokio::test]
async fn a_closure_provides_credentials() {
    let server = Server::start();
    add(&server, "ada");
    let broker = builder(&server).credentials(|| async { Ok(of("ada")) }).unwrap().connect().await.unwrap();
    sent(&broker).await.unwrap();
    assert_eq!(connections(&server, "ada").len(), 1);
}

#[tokio::test]
async fn a_connection_that_stands_is_authenticated_again_before_its_credentials_end() {
    let (server, source, broker) = as_ada(SHORT).await;
    let before = until_connected(&server, "ada", 1).await;
    // Idle, with nobody who would notice that it is closed.
    source.give(of("bob").valid_for(HOUR));
    let after = until_connected(&server, "bob", 1).await;
    assert_eq!((before, source.calls()), (after.clone(), 2));
    delete(&server, "ada");
    sent(&broker).await.unwrap();
    assert_eq!(until_connected(&server, "bob", 1).await, after);
}

#[tokio::test]
async fn a_connection_is_authenticated_again_each_time_its_credentials_end() {
    let (server, source, broker) = as_ada(SHORT).await;
    let before = until_connected(&server, "ada", 1).await;
    source.until_called(4).await;
    sent(&broker).await.unwrap();
    assert_eq!(until_connected(&server, "ada", 1).await, before);
}

#[tokio::test]
async fn a_connection_on_which_a_read_waits_is_authenticated_behind_it() {
    let (server, source, broker) = as_ada(HOUR).await;
    let consumer = worker(&broker).await;
    source.give(of("ada").valid_for(SHORT));
    let claiming = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { wait_and_claim(&broker, &consumer).await }
    });
    server.until_a_read_waits().await;
    source.give(of("bob").valid_for(HOUR));
    let is_behind = |client: &String| client.contains("flags=b") && !client.contains(" qbuf=0 ");
    let waits = || connections(&server, "ada").into_iter().find(is_behind);
    until(|| waits().is_some()).await;
    let waits = id(&waits().unwrap());
    send(&broker, vec![message("came while it waited")]).await;
    let mut delivered = claiming.await.unwrap();
    assert_eq!(bodies(&delivered), ["came while it waited"]);
    assert_eq!(until_connected(&server, "bob", 1).await, [waits]);
    settle(&broker, &consumer, delivered.remove(0).receipt, Outcome::Done.into()).await;
    send(&broker, vec![message("came after")]).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["came after"]);
}

/// Claims and settles until it has settled so many, each of them once.
async fn work(broker: RedisBroker, consumer: Consumer, count: usize) -> Vec<String> {
    let mut done = Vec::new();
    while done.len() < count {
        // A connection of a user who was deleted breaks under the read that waits on it.
        let Ok(delivered) = broker.claim(&consumer, 10, &Wait::new(Duration::from_secs(30))).await else {
            tokio::task::yield_now().await;
            continue;
        };
        for delivery in delivered {
            done.push(String::from_utf8(delivery.body.to_vec()).unwrap());
            let settlement = [(delivery.receipt, Outcome::Done.into())];
            while broker.settle(&consumer, &settlement).await[0].is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
    done
}

#[tokio::test]
async fn a_worker_that_waits_keeps_working_through_rotations_and_loses_nothing() {
    let (server, source, broker) = as_ada(SHORT).await;
    let sender = server.broker().await;
    let consumer = worker(&broker).await;
    let worked = tokio::spawn(work(broker.clone(), consumer, 8));
    let mut before = "ada".to_owned();
    for round in 0..4 {
        send(&sender, vec![message(&format!("{round} a"))]).await;
        server.until_a_read_waits().await;
        let user = format!("user-{round}");
        add(&server, &user);
        let calls = source.calls();
        source.give(of(&user).valid_for(SHORT));
        source.until_called(calls + 1).await;
        // Some connections are authenticated again by now, some are about to be, and one waits in a read.
        send(&sender, vec![message(&format!("{round} b"))]).await;
        delete(&server, &before);
        before = user;
    }
    let mut worked = patiently(worked).await.unwrap();
    worked.sort();
    assert_eq!(worked, ["0 a", "0 b", "1 a", "1 b", "2 a", "2 b", "3 a", "3 b"]);
    // Not as the last user, some of whose connections may break now.
    let counts = sender.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight), (0, 0));
}

#[tokio::test]
async fn a_connection_that_cannot_be_authenticated_again_is_logged_once_and_replaced_at_the_end() {
    let (log, _here) = everything();
    let (server, source, broker) = as_ada(SHORT).await;
    let before = until_connected(&server, "ada", 1).await;
    source.answer(Answer::Fail);
    // Until the end it works, however often that fails.
    source.until_called(3).await;
    sent(&broker).await.unwrap();
    assert_eq!(until_connected(&server, "ada", 1).await, before);
    let refused = async {
        loop {
            if let Err(error) = sent(&broker).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    let error = patiently(refused).await;
    assert!(error.is_unavailable() && !error.is_unknown(), "{error}");
    source.give(of("bob").valid_for(HOUR));
    until_sent(&broker).await;
    until_connected(&server, "bob", 1).await;
    until_connected(&server, "ada", 0).await;
    assert_eq!(log.count("cannot be authenticated again"), 1);
    assert_eq!(log.count("connections are authenticated again"), 1);
    assert!(log.count("the vault is sealed") > 0);
    assert_eq!(log.count(SECRET), 0);
}

#[tokio::test]
async fn a_password_that_is_refused_leaves_a_connection_as_it_was_until_a_better_one_comes() {
    let (log, _here) = everything();
    let (server, source, broker) = as_ada(2 * SHORT).await;
    let before = until_connected(&server, "ada", 1).await;
    source.give(Credentials::new("bob", "hunter2-wrong").valid_for(HOUR));
    until(|| log.count("WRONGPASS") > 0).await;
    sent(&broker).await.unwrap();
    source.give(of("bob").valid_for(HOUR));
    assert_eq!(until_connected(&server, "bob", 1).await, before);
    until(|| log.count("connections are authenticated again") > 0).await;
    assert_eq!(log.count("cannot be authenticated again"), 1);
    assert_eq!(log.count(SECRET), 0);
}

#[tokio::test]
async fn a_provider_that_fails_is_an_error_for_now_that_says_why() {
    let server = Server::start();
    add(&server, "ada");
    let source = Source::new(of("ada"));
    source.answer(Answer::Fail);
    let error = builder(&server).credentials(source.clone()).unwrap().connect().await.unwrap_err();
    assert!(error.is_transient() && !error.is_denied() && !error.is_invalid(), "{error}");
    assert!(error.to_string().contains("credentials provider"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "the vault is sealed");
    assert!(format!("{error:?}").contains("the vault is sealed"));
    let lazy = builder(&server).credentials(source.clone()).unwrap().connect_lazy().unwrap();
    let error = sent(&lazy).await.unwrap_err();
    assert!(error.is_unavailable() && error.source().unwrap().to_string().contains("sealed"), "{error}");
    source.give(of("ada"));
    until_sent(&lazy).await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_an_error_for_now() {
    let server = Server::start();
    let source = Source::new(of("ada"));
    source.answer(Answer::Hang);
    let error = patiently(builder(&server).credentials(source.clone()).unwrap().connect()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("did not answer within 5s"), "{error}");
}

#[tokio::test]
async fn a_provider_that_is_behind_a_rotation_is_asked_again() {
    let server = Server::start();
    add(&server, "ada");
    let source = Source::new(Credentials::new("ada", "hunter2-stale"));
    let error = builder(&server).credentials(source.clone()).unwrap().connect().await.unwrap_err();
    assert!(error.is_denied() && error.is_transient(), "{error}");
    let shown = format!("{error} {error:?} {:?}", error.source());
    assert!(shown.contains("credentials provider") && !shown.contains(SECRET), "{shown}");
    let lazy = builder(&server).credentials(source.clone()).unwrap().connect_lazy().unwrap();
    assert!(sent(&lazy).await.unwrap_err().is_unavailable());
    source.give(of("ada"));
    until_sent(&lazy).await;
    assert!(!format!("{lazy:?}").contains(SECRET));
}

#[tokio::test]
async fn a_url_with_a_user_or_a_password_beside_a_provider_is_refused() {
    for url in [
        "redis://ada:hunter2@localhost",
        "redis://:hunter2@localhost",
        "redis://ada@localhost",
        "redis+unix:///run/redis.sock?user=ada&pass=hunter2",
    ] {
        let settings = RedisBroker::builder(url).unwrap();
        let error = settings.credentials(Source::new(of("ada"))).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains("take them out of the URL"), "{error}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
}

#[tokio::test]
async fn a_broker_that_is_dropped_closes_its_connections_and_leaves_no_task_behind() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (server, _, broker) = as_ada(HOUR).await;
    let consumer = worker(&broker).await;
    claim(&broker, &consumer, 1).await;
    until_connected(&server, "ada", 3).await;
    assert_eq!(tasks(), before + 2 * 3);
    drop(broker);
    until_connected(&server, "ada", 0).await;
    until(|| tasks() == before).await;
}
