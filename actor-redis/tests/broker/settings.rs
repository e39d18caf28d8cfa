use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_redis::{Finding, FindingKind, RedisBroker, Risk, ServerReport};

use crate::server::{Server, message, queue, send};
use crate::warnings::Log;

/// Settings with which nothing is found but the version.
const SOUND: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb"];

/// A server that is sound but for these settings.
fn sound_but(args: &[&str]) -> Server {
    Server::alone(&[&SOUND[..], args].concat())
}

/// Settings that a server may be started with, what is found then, and what it endangers.
const UNSOUND: [(&[&str], FindingKind, Risk); 9] = [
    (&["--maxmemory-policy", "allkeys-lru"], FindingKind::Eviction, Risk::Loss),
    (&["--maxmemory-policy", "volatile-ttl"], FindingKind::Eviction, Risk::Outage),
    (&["--appendonly", "no"], FindingKind::NoPersistence, Risk::Loss),
    (&["--appendonly", "no", "--save", "3600", "1"], FindingKind::SnapshotsOnly, Risk::Loss),
    (&["--appendfsync", "no"], FindingKind::NoFsync, Risk::Loss),
    (&["--appendfsync", "everysec"], FindingKind::FsyncEverySecond, Risk::LastSeconds),
    (&["--no-appendfsync-on-rewrite", "yes"], FindingKind::NoFsyncOnRewrite, Risk::Loss),
    (&["--timeout", "300"], FindingKind::IdleTimeout, Risk::Outage),
    (&["--client-output-buffer-limit", "normal", "64mb", "0", "0"], FindingKind::OutputBuffer, Risk::Outage),
];

/// Does what a finding says.
fn write(server: &Server, finding: &Finding) {
    let (name, value) = finding.line().unwrap().split_once(' ').unwrap();
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut server.raw()).unwrap();
}

fn kinds(report: &ServerReport) -> Vec<FindingKind> {
    report.findings().iter().map(Finding::kind).filter(|kind| *kind != FindingKind::Version).collect()
}

/// Checks until `is_there` says so.
async fn until(broker: &RedisBroker, is_there: impl Fn(&ServerReport) -> bool) -> ServerReport {
    let began = Instant::now();
    loop {
        let report = broker.check().await.unwrap();
        if is_there(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{report}");
        tokio::task::yield_now().await;
    }
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[tokio::test]
async fn a_sound_server_is_taken_by_strict_and_nothing_is_found() {
    let server = sound_but(&[]);
    let broker = RedisBroker::builder(&server.url()).unwrap().strict().connect().await.unwrap();
    send(&broker, vec![message("a")]).await;
    assert_eq!(kinds(&broker.check().await.unwrap()), []);
}

#[tokio::test]
async fn what_a_finding_says_to_write_ends_it() {
    for (args, kind, risk) in UNSOUND {
        let server = sound_but(args);
        let broker = server.broker().await;
        let report = broker.check().await.unwrap();
        assert_eq!(kinds(&report), [kind], "{args:?}: {report}");
        let finding = report.find(kind).unwrap();
        assert_eq!((finding.risk(), finding.address()), (risk, &*server.socket()), "{report}");
        assert!(finding.to_string().ends_with(&format!("write `{}`", finding.line().unwrap())), "{finding}");
        write(&server, finding);
        let mut after = broker.check().await.unwrap();
        assert_eq!(after.find(kind).filter(|other| *other == finding), None);
        // The file that goes to the disk each second is better, and not yet sound.
        if let Some(finding) = after.find(FindingKind::FsyncEverySecond) {
            write(&server, finding);
            after = broker.check().await.unwrap();
        }
        assert_eq!(kinds(&after), [], "{finding}");
    }
}

#[tokio::test]
async fn little_memory_is_found_and_none_at_all_is_a_note() {
    let server = sound_but(&[]);
    let broker = server.broker().await;
    let info: String = server.run("INFO memory");
    let used: u64 = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    let _: String = server.run(&format!("CONFIG SET maxmemory {}", used * 10 / 9));
    let report = broker.check().await.unwrap();
    assert_eq!(kinds(&report), [FindingKind::LittleMemory]);
    write(&server, report.find(FindingKind::LittleMemory).unwrap());
    assert_eq!(kinds(&broker.check().await.unwrap()), []);
    let _: String = server.run("CONFIG SET maxmemory 0");
    let report = broker.check().await.unwrap();
    let unlimited = report.find(FindingKind::NoMemoryLimit).unwrap();
    assert_eq!((unlimited.risk(), unlimited.line()), (Risk::Note, None));
}

#[tokio::test]
async fn strict_refuses_what_may_lose_messages_and_takes_the_rest() {
    for (args, kind, risk) in UNSOUND {
        let server = sound_but(args);
        let connected = RedisBroker::builder(&server.url()).unwrap().strict().connect().await;
        assert_eq!(connected.is_err(), risk >= Risk::Unknown, "{kind:?}: {connected:?}");
        let Err(error) = connected else { continue };
        assert!(error.is_lossy() && !error.is_transient() && !error.is_unsupported(), "{error}");
        let report = server.broker().await.check().await.unwrap();
        let finding = report.find(kind).unwrap();
        assert!(error.to_string().ends_with(&format!("`strict()` refuses it: {finding}")), "{error}");
        write(&server, finding);
        RedisBroker::builder(&server.url()).unwrap().strict().connect().await.unwrap();
    }
}

#[tokio::test]
async fn strict_names_all_that_it_refuses_at_the_first_use_of_a_lazy_broker() {
    let server = sound_but(&["--maxmemory-policy", "allkeys-lru", "--appendfsync", "no", "--timeout", "60"]);
    let broker = RedisBroker::builder(&server.url()).unwrap().strict().connect_lazy().unwrap();
    let error = broker.enqueue(&queue(), vec![message("a")]).await.remove(0).unwrap_err();
    assert!(!error.is_transient() && !error.is_unknown(), "{error}");
    for line in ["`maxmemory-policy noeviction`", "`appendfsync everysec`"] {
        assert!(error.to_string().contains(line), "{error}");
    }
    assert!(!error.to_string().contains("timeout"), "{error}");
    assert!(broker.check().await.unwrap_err().is_lossy());
    // Once they are written, the same broker goes on.
    for finding in server.broker().await.check().await.unwrap().refused_by_strict() {
        write(&server, finding);
    }
    while let Err(error) = broker.enqueue(&queue(), vec![message("a")]).await.remove(0) {
        assert!(error.to_string().contains("strict"), "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn strict_refuses_a_server_that_comes_back_with_worse_settings() {
    let mut server = sound_but(&[]);
    let broker = RedisBroker::builder(&server.url()).unwrap().strict().connect().await.unwrap();
    server.kill();
    server.start_again_with(&["--appendonly", "no"]);
    loop {
        let error = broker.enqueue(&queue(), vec![message("a")]).await.remove(0).unwrap_err();
        if error.to_string().contains("`appendonly yes`") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_user_may_not_ask_is_a_finding_and_strict_refuses_it() {
    let server = sound_but(&[]);
    let _: String = server.run("ACL SETUSER sender on >secret ~* +@all -info -config");
    let url = format!("redis+unix://{}?user=sender&pass=secret", server.socket());
    let (log, here) = Log::here();
    let broker = RedisBroker::connect(&url).await.unwrap();
    send(&broker, vec![message("a")]).await;
    assert_eq!((log.count("WARN"), log.count("INFO is refused"), log.count("CONFIG GET is refused")), (1, 1, 1));
    drop(here);
    let report = broker.check().await.unwrap();
    assert_eq!(kinds(&report), [FindingKind::InfoRefused, FindingKind::ConfigRefused]);
    let strict = async || RedisBroker::builder(&url).unwrap().strict().connect().await;
    let error = strict().await.unwrap_err();
    assert!(error.is_lossy() && error.to_string().contains("`+info`"), "{error}");
    assert!(error.to_string().contains("`+config|get`"), "{error}");
    let _: String = server.run("ACL SETUSER sender +info");
    assert_eq!(kinds(&broker.check().await.unwrap()), [FindingKind::ConfigRefused]);
    // The file is there, and nobody knows when it goes to the disk.
    assert!(strict().await.unwrap_err().is_lossy());
    let _: String = server.run("ACL SETUSER sender +config|get");
    assert_eq!(kinds(&broker.check().await.unwrap()), []);
    strict().await.unwrap();
}

#[tokio::test]
async fn replicas_that_lag_or_have_lost_their_primary_are_found() {
    let port = free_port();
    let mut primary = sound_but(&["--repl-diskless-sync-delay", "0", "--port", &port]);
    let broker = primary.broker().await;
    let replica = sound_but(&["--port", &free_port()]);
    let _: String = replica.run(&format!("REPLICAOF 127.0.0.1 {port}"));
    // A replica that is there, and the setting that goes with it.
    let report = until(&broker, |report| kinds(report) == [FindingKind::MinReplicas]).await;
    assert!(RedisBroker::builder(&primary.url()).unwrap().strict().connect().await.unwrap_err().is_lossy());
    write(&primary, report.find(FindingKind::MinReplicas).unwrap());
    until(&broker, |report| kinds(report).is_empty()).await;
    replica.freeze();
    let report = until(&broker, |report| kinds(report) == [FindingKind::ReplicaLag]).await;
    assert!(report.find(FindingKind::ReplicaLag).unwrap().can_lose_messages());
    replica.thaw();
    until(&broker, |report| kinds(report).is_empty()).await;
    // One that has not received anything yet.
    let _: String = primary.run("CONFIG SET repl-diskless-sync yes");
    let _: String = primary.run("CONFIG SET repl-diskless-sync-delay 60");
    let late = sound_but(&["--port", &free_port()]);
    let _: String = late.run(&format!("REPLICAOF 127.0.0.1 {port}"));
    until(&broker, |report| kinds(report) == [FindingKind::ReplicaLink]).await;
    primary.kill();
    let broker = replica.broker().await;
    let report = until(&broker, |report| kinds(report) == [FindingKind::ReplicaLink]).await;
    assert!(report.to_string().contains("has lost its primary"), "{report}");
}

#[tokio::test]
async fn all_that_is_found_is_logged_as_one_and_not_again_where_the_server_starts_again() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let mut server = sound_but(&["--maxmemory-policy", "allkeys-lru", "--timeout", "300"]);
    let broker = server.broker().await;
    send(&broker, vec![message("a")]).await;
    let counted = || {
        let of = |words| log.count(words);
        (of("put messages at risk"), of("`maxmemory-policy noeviction`"), of("`timeout 0`"), of("`appendonly yes`"))
    };
    assert_eq!(counted(), (1, 1, 1, 0));
    server.kill();
    server.start_again_with(&["--appendonly", "no"]);
    while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {
        tokio::task::yield_now().await;
    }
    // Only what is new.
    assert_eq!(counted(), (2, 1, 1, 1));
}

#[tokio::test]
async fn a_reconnect_asks_for_no_settings_again() {
    let server = sound_but(&[]);
    let broker = server.broker().await;
    // Redis before 7.0 does not tell `config|get` from other commands of `config`.
    let asked = || {
        let stats: String = server.run("INFO commandstats");
        let line = stats.lines().find(|line| line.starts_with("cmdstat_config")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u32>().unwrap()
    };
    let at_first = asked();
    assert!(at_first > 0);
    for _ in 0..3 {
        server.cut_all();
        while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(asked(), at_first);
}
