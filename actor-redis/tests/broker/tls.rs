//! The certificates stand in `tls/`: an authority, and what it vouches for, `localhost`, for a hundred
//! years. `openssl req -x509` and `openssl x509 -req -CA` made them.

use std::error::Error as _;

use actor_redis::RedisBroker;

use crate::sentinel::set::{Set, Settings};
use crate::server::{Server, bodies, claim, message, send, worker};

const AUTHORITY: &str = include_str!("tls/authority.pem");

/// Lines of a server's configuration.
fn settings() -> Vec<String> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/tls");
    let files = [("cert", "server.pem"), ("key", "server.key"), ("ca-cert", "authority.pem")];
    let lines = files.map(|(what, name)| format!("tls-{what}-file {here}/{name}"));
    lines.into_iter().chain(["tls-auth-clients no".to_owned()]).collect()
}

/// A client of the test's own.
pub(crate) fn client(port: u16) -> redis::Client {
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(AUTHORITY.into()) };
    redis::Client::build_with_tls(format!("rediss://localhost:{port}"), certificates).unwrap()
}

pub(crate) fn secured() -> Server {
    Server::on_port(|port| {
        let lines = settings().into_iter().chain([format!("tls-port {port}")]);
        let words = lines.flat_map(|line| format!("--{line}").split(' ').map(str::to_owned).collect::<Vec<_>>());
        words.collect()
    })
}

#[tokio::test]
async fn servers_and_sentinels_of_a_private_authority_are_trusted_when_told_so() {
    let lines: Vec<_> = settings().into_iter().chain(["tls-replication yes".to_owned()]).collect();
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
