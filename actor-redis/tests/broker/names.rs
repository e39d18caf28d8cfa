use std::sync::mpsc;
use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_redis::RedisBroker;

use crate::server::{LEASE, Server, claim, message, queue, send, worker};

#[test]
fn a_host_name_is_resolved_while_user_code_has_every_blocking_thread() {
    let server = Server::on_port(|port| vec!["--port".to_owned(), port.to_owned()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    runtime.block_on(async {
        let broker = RedisBroker::connect(&format!("redis://localhost:{}", server.port())).await.unwrap();
        let consumer = worker(&broker).await;
        assert!(claim(&broker, &consumer, 1).await.is_empty());
        // As a sync actor that runs for long.
        tokio::task::spawn_blocking(move || released.recv_timeout(Duration::from_secs(20)));
        server.cut_all();
        let began = Instant::now();
        while broker.enqueue(&queue(), vec![message("a")]).await.remove(0).is_err() {}
        while broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err() {}
        while broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.is_err() {}
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "it took {took:?}");
        send(&broker, vec![message("b")]).await;
    });
    drop(release);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_named() {
    let error = RedisBroker::connect("redis://no-such-host.invalid").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid:6379"), "{error}");
}
