use std::time::{Duration, Instant};

use actor_redis::{Error, RedisBroker};

use super::liar::Liar;
use super::set::{NAME, Set, Settings, free_ports, url};
use crate::server::{bodies, claim, message, send, worker};

/// The port of a Sentinel that names this one.
async fn liar(named: u16) -> u16 {
    Liar::naming(named).await.port
}

async fn refusal(url: &str) -> Error {
    RedisBroker::connect(url).await.unwrap_err()
}

/// Whether a broker works.
async fn works(broker: &RedisBroker, set: &Set) {
    let consumer = worker(broker).await;
    send(broker, vec![message("a")]).await;
    assert_eq!(bodies(&claim(broker, &consumer, 1).await), ["a"]);
    assert_eq!(set.primary().run::<i64>("XLEN {actor:mail}:ready:normal"), 1);
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    for words in words {
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    }
}

#[tokio::test]
async fn the_primary_is_found_whichever_sentinels_are_away() {
    let mut set = Set::start();
    let broker = RedisBroker::connect(&set.url()).await.unwrap();
    works(&broker, &set).await;
    let began = Instant::now();
    for away in 0..2 {
        set.sentinels[away].kill();
        RedisBroker::connect(&set.url()).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "those who are gone are not waited for: {:?}", began.elapsed());
    set.sentinels[2].kill();
    let error = refusal(&set.url()).await;
    assert!(error.is_transient() && !error.is_denied(), "{error}");
    says(&error, &["no Sentinel of mymaster", "cannot be reached", "check that the Sentinels run"]);
    for sentinel in &set.sentinels {
        says(&error, &[&format!("127.0.0.1:{}", sentinel.port)]);
    }
    // What stands goes on without any.
    send(&broker, vec![message("b")]).await;
}

#[tokio::test]
async fn a_sentinel_that_does_not_answer_is_waited_for_no_longer_than_needed() {
    let set = Set::start();
    set.sentinels[0].freeze();
    let began = Instant::now();
    RedisBroker::connect(&set.url()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(900), "two of three agree: {:?}", began.elapsed());
    set.sentinels[1].freeze();
    let began = Instant::now();
    RedisBroker::connect(&set.url()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn sentinels_that_lie_are_passed_over() {
    let set = Set::start();
    let (replica, nobody) = (set.servers[1].port, free_ports(1)[0]);
    for lies in [[replica, replica], [nobody, nobody], [replica, nobody]] {
        let lying = [liar(lies[0]).await, liar(lies[1]).await];
        // As many as tell the truth, more, and fewer.
        for honest in 1..=3 {
            let honest = set.sentinels[..honest].iter().map(|sentinel| sentinel.port);
            let broker = RedisBroker::connect(&url(lying.into_iter().chain(honest))).await.unwrap();
            send(&broker, vec![message("a")]).await;
        }
    }
    assert_eq!(set.primary().run::<i64>("XLEN {actor:mail}:ready:normal"), 9);
}

#[tokio::test]
async fn where_none_is_a_primary_it_is_said_what_each_sentinel_named() {
    let set = Set::start();
    let (replica, nobody) = (set.servers[1].port, free_ports(1)[0]);
    let liars = [liar(replica).await, liar(replica).await, liar(nobody).await, liar(0).await];
    let error = refusal(&url(liars)).await;
    assert!(error.is_transient() && !error.is_invalid(), "{error}");
    let [first, second, third, fourth] = liars.map(|port| format!("127.0.0.1:{port}"));
    let either = [format!("{first} and {second}"), format!("{second} and {first}")];
    assert!(either.iter().any(|both| error.to_string().contains(both)), "{error}");
    says(
        &error,
        &[
            "no primary of mymaster was found",
            &format!("name 127.0.0.1:{replica}, a replica"),
            &format!("{third} names 127.0.0.1:{nobody}, which cannot be reached"),
            &format!("{fourth} does not know that name"),
            "wait for the failover to end",
        ],
    );
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_a_wrong_setting() {
    let set = Set::start();
    let error = refusal(&set.url().replace(NAME, "yourmaster")).await;
    assert!(error.is_invalid() && !error.is_transient(), "{error}");
    says(&error, &["\"yourmaster\"", "sentinel monitor <name>"]);
    // Of few it is not taken for certain: the others may know.
    let few = url([liar(0).await].into_iter().chain(free_ports(2)));
    assert!(refusal(&few).await.is_transient());
}

#[tokio::test]
async fn a_server_that_is_no_sentinel_is_named() {
    let set = Set::start();
    let error = refusal(&url([set.primary().port])).await;
    says(&error, &[&format!("127.0.0.1:{} is no Sentinel", set.primary().port)]);
}

#[tokio::test]
async fn passwords_of_the_servers_and_of_the_sentinels_are_two() {
    let page = include_str!("../../../../docs/redis-keys.md");
    let documented = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER watcher ")).unwrap();
    let watcher = format!("user watcher {}", documented.replace("<password>", "hunter2"));
    let set = Set::with(Settings {
        server: &["--requirepass", "secret", "--masterauth", "secret"],
        sentinel: &[
            &format!("sentinel auth-pass {NAME} secret"),
            &watcher,
            "user default on nopass ~* &* +@all -sentinel",
        ],
        ..Settings::default()
    });
    let url = set.url().replace("://", "://:secret@");
    let connect = async |user, password| {
        RedisBroker::builder(&url).unwrap().sentinel_credentials(user, password).unwrap().connect().await
    };
    let broker = connect("watcher", "hunter2").await.unwrap();
    send(&broker, vec![message("a")]).await;
    assert!(!format!("{broker:?}").contains("hunter2") && !format!("{broker:?}").contains("secret"));
    // The user may do all that is asked, and nothing is logged as refused.
    set.until_listened_to().await;
    let denied: usize = set.sentinels.iter().map(|sentinel| sentinel.run::<Vec<redis::Value>>("ACL LOG").len()).sum();
    assert_eq!(denied, 0);
    for (user, password, wants) in
        [("watcher", "wrong", "another user or password"), ("", "", "see docs/redis-keys.md")]
    {
        let error = connect(user, password).await.unwrap_err();
        assert!(error.is_denied() && !error.is_transient(), "{error}");
        says(&error, &[wants]);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    // The server's own refusal is told as that of any server.
    let wrong = set.url().replace("://", "://:wrong@");
    let wrong = RedisBroker::builder(&wrong).unwrap().sentinel_credentials("watcher", "hunter2").unwrap();
    let error = wrong.connect().await.unwrap_err();
    assert!(error.is_denied(), "{error}");
    says(&error, &[&format!("127.0.0.1:{} (mymaster)", set.primary().port), "than the URL has"]);
}

#[tokio::test]
async fn a_sentinel_that_wants_a_password_says_how_to_give_it() {
    let set = Set::with(Settings {
        sentinel: &["requirepass hunter2", "sentinel sentinel-pass hunter2"],
        ..Settings::default()
    });
    let error = refusal(&set.url()).await;
    assert!(error.is_denied(), "{error}");
    says(&error, &["sentinel_credentials", "wants a password"]);
    let builder = RedisBroker::builder(&set.url()).unwrap().sentinel_credentials("", "hunter2").unwrap();
    works(&builder.connect().await.unwrap(), &set).await;
    let plain = RedisBroker::builder("redis://127.0.0.1").unwrap();
    assert!(plain.sentinel_credentials("", "hunter2").unwrap_err().is_invalid());
}

#[test]
fn names_in_place_of_addresses_are_resolved_while_user_code_has_every_blocking_thread() {
    let set = Set::with(Settings { host: Some("localhost"), ..Settings::default() });
    let url = set.url().replace("127.0.0.1", "localhost");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        // As a sync actor that runs for long.
        tokio::task::spawn_blocking(move || released.recv_timeout(Duration::from_secs(20)));
        let began = Instant::now();
        let broker = RedisBroker::connect(&url).await.unwrap();
        works(&broker, &set).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
    let named: (String, u16) = set.sentinels[0].run("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
    assert_eq!(named.0, "localhost", "it is a name that was announced");
    drop(release);
}
