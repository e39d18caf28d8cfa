//! The certificates stand in `tls/`: an authority, and what it vouches for, `localhost`; an authority of clients, and
//! what that one vouches for, `worker`; for a hundred years. `openssl req -x509` and `openssl x509 -req -CA` made them.

use std::error::Error as _;

use actor_redis::{RedisBroker, RedisBrokerBuilder};

use crate::cluster::members::Cluster;
use crate::cluster::routing::{await_names, sends_everywhere};
use crate::sentinel::set::{Set, Settings};
use crate::server::{Server, bodies, claim, message, send, worker};

const AUTHORITY: &str = include_str!("tls/authority.pem");
const CERTIFICATE: &str = include_str!("tls/client.pem");
const KEY: &str = include_str!("tls/client.key");

/// Lines of a server's configuration: whether clients must show a certificate, `yes` or `no`, and who vouches for them.
fn settings(clients: &str, authority: &str) -> Vec<String> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/tls");
    let files = [("cert", "server.pem"), ("key", "server.key"), ("ca-cert", authority)];
    let lines = files.map(|(what, name)| format!("tls-{what}-file {here}/{name}"));
    lines.into_iter().chain([format!("tls-auth-clients {clients}")]).collect()
}

/// A client of the test's own.
pub(crate) fn client(port: u16) -> redis::Client {
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(AUTHORITY.into()) };
    redis::Client::build_with_tls(format!("rediss://localhost:{port}"), certificates).unwrap()
}

pub(crate) fn secured() -> Server {
    served("no")
}

fn served(clients: &str) -> Server {
    Server::on_port(|port| {
        words(settings(clients, "client-authority.pem").into_iter().chain([format!("tls-port {port}")]))
    })
}

/// Lines of a configuration as words of a command line.
fn words(lines: impl Iterator<Item = String>) -> Vec<String> {
    lines.flat_map(|line| format!("--{line}").split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn builder(server: &Server) -> RedisBrokerBuilder {
    let url = format!("rediss://localhost:{}", server.port());
    RedisBroker::builder(&url).unwrap()
}

#[tokio::test]
async fn servers_and_sentinels_of_a_private_authority_are_trusted_when_told_so() {
    let lines: Vec<_> = settings("no", "authority.pem").into_iter().chain(["tls-replication yes".to_owned()]).collect();
    let set = Set::with(Settings { tls: &lines, host: Some("localhost"), ..Settings::default() });
    let url = set.url().replace("redis+", "rediss+").replace("127.0.0.1", "localhost");
    let builder = RedisBroker::builder(&url).unwrap();
    let broker = builder.root_certificate(AUTHORITY).unwrap().connect().await.unwrap();
    send(&broker, vec![message("secret")]).await;
    let error = RedisBroker::connect(&url).await.unwrap_err();
    assert!(error.to_string().contains("root_certificate"), "{error}");
    let error = RedisBroker::connect(&url.replace("rediss+", "redis+")).await.unwrap_err();
    assert!(error.to_string().contains("rediss+sentinel://"), "{error}");
}

#[tokio::test]
async fn every_member_of_a_cluster_is_reached_by_tls_and_shown_the_client_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let authorities = dir.path().join("authorities.pem");
    std::fs::write(&authorities, [AUTHORITY, include_str!("tls/client-authority.pem")].concat()).unwrap();
    // What comes last counts. Before Redis 7.2, members tell each other's ports for TLS only where they use them
    // themselves.
    let lines = [
        &format!("tls-ca-cert-file {}", authorities.display()),
        "tls-port TLS_PORT",
        "tls-cluster yes",
        "cluster-announce-hostname localhost",
        "cluster-preferred-endpoint-type hostname",
    ];
    let lines = settings("yes", "authority.pem").into_iter().chain(lines.map(str::to_owned));
    let words = words(lines);
    let cluster = Cluster::of(2, 0, &words.iter().map(String::as_str).collect::<Vec<_>>());
    await_names(&cluster, "localhost");
    let url = format!("rediss+cluster://localhost:{}", cluster.tls_port(1));
    let builder = || RedisBroker::builder(&url).unwrap().root_certificate(AUTHORITY).unwrap();
    let broker = builder().client_certificate(CERTIFICATE, KEY).unwrap().connect().await.unwrap();
    sends_everywhere(&cluster, &broker).await;
    let error = builder().connect().await.unwrap_err();
    assert!(error.to_string().contains("client certificate"), "{error}");
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_trusted_when_told_so() {
    let server = secured();
    let url = format!("rediss://localhost:{}", server.port());
    let builder = RedisBroker::builder(&url).unwrap();
    let broker = builder.root_certificate(AUTHORITY).unwrap().connect().await.unwrap();
    let consumer = worker(&broker).await;
    send(&broker, vec![message("secret")]).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["secret"]);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_trusted() {
    let server = secured();
    let error = RedisBroker::connect(&format!("rediss://localhost:{}", server.port())).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("`root_certificate`"), "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("certificate"), "{error}: {cause}");
}

#[tokio::test]
async fn no_url_can_switch_off_the_check_of_the_certificate() {
    let error = RedisBroker::builder("rediss://localhost/#insecure").unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("`root_certificate`"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let builder = || RedisBroker::builder("rediss://localhost").unwrap();
    let broken = AUTHORITY.replace("M", "!");
    for pem in ["", "not a certificate", &broken] {
        let refused = builder().root_certificate(pem);
        assert!(refused.is_err_and(|error| error.is_invalid()), "{pem:?} was taken");
    }
    let plain = RedisBroker::builder("redis://localhost").unwrap();
    assert!(plain.root_certificate(AUTHORITY).is_err());
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_shown_the_one_that_was_given() {
    let server = served("yes");
    let authority_first = builder(&server).root_certificate(AUTHORITY).unwrap();
    let authority_first = authority_first.client_certificate(CERTIFICATE, KEY).unwrap();
    let authority_last = builder(&server).client_certificate(CERTIFICATE, KEY).unwrap();
    let authority_last = authority_last.root_certificate(AUTHORITY).unwrap();
    for settings in [authority_first, authority_last] {
        let broker = settings.connect().await.unwrap();
        let consumer = worker(&broker).await;
        send(&broker, vec![message("secret")]).await;
        assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["secret"]);
    }
}

#[tokio::test]
async fn a_server_that_wants_another_client_certificate_says_so() {
    let server = served("yes");
    let none = builder(&server).root_certificate(AUTHORITY).unwrap();
    let (certificate, key) = (include_str!("tls/server.pem"), include_str!("tls/server.key"));
    let unknown = builder(&server).root_certificate(AUTHORITY).unwrap().client_certificate(certificate, key).unwrap();
    for settings in [none, unknown] {
        let error = settings.connect().await.unwrap_err();
        assert!(error.to_string().contains("client certificate"), "{error}: {:?}", error.source());
        assert!(!error.to_string().contains("`root_certificate`"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_used_is_refused_before_any_connection() {
    let other = include_str!("tls/server.key");
    let (broken, encrypted) = (CERTIFICATE.replace("M", "!"), KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    let cut = format!("{}\n-----END CERTIFICATE-----\n", CERTIFICATE.split_at(CERTIFICATE.len() / 2 / 4 * 4).0);
    for (certificate, key, says) in [
        ("", KEY, "there is none in the PEM"),
        (KEY, CERTIFICATE, "there is none in the PEM"),
        (&broken, KEY, "its PEM"),
        (&cut, KEY, "its PEM"),
        (CERTIFICATE, "", "no private key"),
        (CERTIFICATE, CERTIFICATE, "no private key"),
        (CERTIFICATE, &encrypted, "encrypted"),
        (CERTIFICATE, other, "another certificate"),
    ] {
        let builder = RedisBroker::builder("rediss://localhost").unwrap();
        let error = builder.client_certificate(certificate, key).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains(says), "{error} does not say {says:?}");
    }
    let plain = RedisBroker::builder("redis://localhost").unwrap();
    let error = plain.client_certificate(CERTIFICATE, KEY).unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("rediss://"), "{error}");
}

#[tokio::test]
async fn what_is_shown_of_a_broker_has_no_private_key() {
    let settings = RedisBroker::builder("rediss://localhost").unwrap().client_certificate(CERTIFICATE, KEY).unwrap();
    let mut shown = format!("{settings:?}");
    shown += &format!("{:?}", settings.connect_lazy().unwrap());
    for line in KEY.lines() {
        assert!(!shown.contains(line), "{shown}");
    }
}
