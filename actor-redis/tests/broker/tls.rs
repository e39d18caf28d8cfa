//! The certificates stand in `tls/`: an authority, and what it vouches for, `localhost`, for a hundred
//! years. `openssl req -x509` and `openssl x509 -req -CA` made them.

use std::error::Error as _;

use actor_redis::RedisBroker;

use crate::cluster::members::Cluster;
use crate::cluster::routing::{await_names, sends_everywhere};
use crate::server::{Server, bodies, claim, message, send, worker};

const AUTHORITY: &str = include_str!("tls/authority.pem");

pub(crate) fn secured() -> Server {
    Server::on_port(settings)
}

/// What has a server speak TLS on a port.
fn settings(port: &str) -> Vec<String> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/tls");
    let file = |name: &str| format!("{here}/{name}");
    let (cert, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let [cert, key, authority] = [&cert, &key, &authority].map(String::as_str);
    let settings = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority];
    let settings = settings.into_iter().chain(["--tls-auth-clients", "no", "--tls-port", port]);
    settings.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_member_of_a_cluster_is_reached_by_tls() {
    // Before Redis 7.2, members tell each other's ports for TLS only where they use them themselves.
    let named = [
        "--tls-cluster",
        "yes",
        "--cluster-announce-hostname",
        "localhost",
        "--cluster-preferred-endpoint-type",
        "hostname",
    ];
    let settings = settings("TLS_PORT");
    let settings: Vec<_> = settings.iter().map(String::as_str).chain(named).collect();
    let cluster = Cluster::of(2, 0, &settings);
    await_names(&cluster, "localhost");
    let builder = RedisBroker::builder(&format!("rediss+cluster://localhost:{}", cluster.tls_port(1))).unwrap();
    let broker = builder.root_certificate(AUTHORITY).unwrap().connect().await.unwrap();
    sends_everywhere(&cluster, &broker).await;
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
