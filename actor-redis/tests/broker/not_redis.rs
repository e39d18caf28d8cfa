use std::time::Duration;

use actor_core::broker::Broker;
use actor_redis::RedisBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::server::{message, queue};

/// A port on which something reads a first request and says this, whatever it was asked, and ends or waits.
async fn says(greeting: &'static [u8], waits: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = client.read(&mut [0; 4096]).await;
                let _ = client.write_all(greeting).await;
                if waits {
                    tokio::time::sleep(Duration::from_secs(60)).await; // As long as the test.
                }
            });
        }
    });
    port
}

/// What is said of a URL that leads there, at connect and at use.
async fn said_of(url: &str) -> String {
    let error = RedisBroker::connect(url).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let lazy = RedisBroker::builder(url).unwrap().connect_lazy().unwrap();
    let used = lazy.enqueue(&queue(), vec![message("a")]).await.remove(0).unwrap_err();
    assert!(used.is_transient() && !used.is_unknown(), "{used}");
    let causes = |error: &dyn std::error::Error| error.source().map(ToString::to_string).unwrap_or_default();
    let whole = format!("{error}|{error:?}|{}|{used}|{}", causes(&error), causes(&used));
    assert_eq!(whole.lines().count(), 1, "{whole}");
    whole
}

#[tokio::test]
async fn what_answers_and_is_no_redis_is_named_in_one_sentence() {
    let page = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html>\r\n<body>400</body>\r\n</html>\r\n";
    for greeting in
        [&page[..], b"SSH-2.0-OpenSSH_9.2p1\r\n", b"220 mail.example.com ESMTP\r\n", b"\x15\x03\x01\0\x02\x02\x46"]
    {
        for waits in [false, true] {
            let port = says(greeting, waits).await;
            let said = said_of(&format!("redis://127.0.0.1:{port}")).await;
            let wanted = format!("127.0.0.1:{port} answers, but not as Redis does");
            assert!(said.contains(&wanted), "{said}");
        }
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn where_only_one_side_speaks_tls_it_says_so() {
    use crate::server::Server;
    use crate::tls::secured;

    let secured = secured();
    let said = said_of(&format!("redis://127.0.0.1:{}", secured.port())).await;
    assert!(said.contains("rediss://"), "{said}");
    let plain = Server::on_port(|port| vec!["--port".to_owned(), port.to_owned()]);
    let said = said_of(&format!("rediss://127.0.0.1:{}", plain.port())).await;
    assert!(said.contains("TLS"), "{said}");
    let port = says(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    let said = said_of(&format!("rediss://127.0.0.1:{port}")).await;
    assert!(said.contains("TLS"), "{said}");
}
