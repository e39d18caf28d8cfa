use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_redis::{Credentials, FindingKind, RedisBroker};

use super::members::{Cluster, await_that};
use super::name;
use crate::server::message;

/// With these, nothing is found that `strict` refuses.
const SOUND: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb"];
const EVICTS: &str = "CONFIG SET maxmemory-policy allkeys-lru";

fn address(cluster: &Cluster, at: usize) -> String {
    format!("127.0.0.1:{}", cluster.port(at))
}

#[tokio::test]
async fn a_report_is_about_each_primary() {
    let cluster = Cluster::of(3, 3, &SOUND);
    assert_eq!(cluster.ask(1, EVICTS), "OK");
    assert_eq!(cluster.ask(2, "CONFIG SET timeout 300"), "OK");
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let report = broker.check().await.unwrap();
    for (kind, at) in [
        (FindingKind::Eviction, vec![1]),
        (FindingKind::IdleTimeout, vec![2]),
        (FindingKind::MinReplicas, vec![0, 1, 2]),
    ] {
        let of_kind = report.findings().iter().filter(|finding| finding.kind() == kind);
        let mut found: Vec<_> = of_kind.map(|finding| finding.address().to_owned()).collect();
        let mut wanted: Vec<_> = at.into_iter().map(|at| address(&cluster, at)).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{kind:?}: {report}");
    }
}

#[tokio::test]
async fn strict_refuses_a_primary_by_itself_also_one_that_it_meets_later() {
    let mut cluster = Cluster::of(2, 0, &SOUND);
    let queues: Vec<_> = (0..2).flat_map(|at| cluster.queues_of(at, 1)).collect();
    let strict = || RedisBroker::builder(&cluster.url()).unwrap().strict();
    let broker = strict().connect().await.unwrap();
    assert_eq!(cluster.ask(1, EVICTS), "OK");
    let send =
        async |broker: &RedisBroker, at: usize| broker.enqueue(&name(&queues[at]), vec![message("a")]).await.remove(0);
    for at in 0..2 {
        send(&broker, at).await.unwrap();
    }
    let error = strict().connect().await.unwrap_err();
    assert!(error.is_lossy() && error.to_string().contains(&address(&cluster, 1)), "{error}");
    // A primary that is away is no reason to do without the other.
    cluster.kill(1);
    let broker = RedisBroker::builder(&cluster.url()).unwrap().strict().connect().await.unwrap();
    cluster.revive(1);
    cluster.await_whole();
    assert_eq!(cluster.ask(1, EVICTS), "OK");
    send(&broker, 0).await.unwrap();
    let refused = send(&broker, 1).await.unwrap_err();
    assert!(!refused.is_unknown() && refused.to_string().contains("`strict()` refuses"), "{refused}");
}

#[tokio::test]
async fn a_provider_gives_the_credentials_for_each_member() {
    let cluster = Cluster::of(2, 0, &[]);
    let queues: Vec<_> = (0..2).flat_map(|at| cluster.queues_of(at, 1)).collect();
    let everywhere =
        |command: &str| (0..2).for_each(|at| assert!(matches!(cluster.ask(at, command).as_str(), "OK" | "1")));
    for user in ["ada", "bob"] {
        everywhere(&format!("ACL SETUSER {user} on >secret-{user} ~* &* +@all"));
    }
    let user = Arc::new(Mutex::new("ada"));
    let given = Arc::clone(&user);
    let provider = move || {
        let user = *given.lock().unwrap();
        async move { Ok(Credentials::new(user, format!("secret-{user}")).valid_for(Duration::from_secs(4))) }
    };
    let broker = RedisBroker::builder(&cluster.url()).unwrap().credentials(provider).unwrap().connect().await.unwrap();
    let send = async |at: usize| broker.enqueue(&name(&queues[at]), vec![message("a")]).await.remove(0);
    let has = |at, user: &str| cluster.ask(at, "CLIENT LIST").contains(&format!("user={user} "));
    for at in 0..2 {
        send(at).await.unwrap();
        assert!(has(at, "ada"));
    }
    *user.lock().unwrap() = "bob";
    // Before the first ones end, the connections are authenticated again.
    tokio::task::spawn_blocking({
        let port = [cluster.port(0), cluster.port(1)];
        move || {
            let ask = |port: u16| {
                let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
                let list: String =
                    redis::cmd("CLIENT").arg("LIST").query(&mut client.get_connection().unwrap()).unwrap();
                list
            };
            await_that("both are bob's", || {
                port.iter().all(|port| {
                    let list = ask(*port);
                    list.contains("user=bob ") && !list.contains("user=ada ")
                })
            });
        }
    })
    .await
    .unwrap();
    everywhere("ACL DELUSER ada");
    for at in 0..2 {
        send(at).await.unwrap();
    }
}
