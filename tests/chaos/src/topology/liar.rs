//! What stands before a Sentinel, and passes on what it says, or something else.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::sentinel::SWITCH;

/// What the Sentinel that leads a failover says before it says [`SWITCH`].
const PROMOTED: &str = "+promoted-slave";
/// How an answer begins that names a server.
const NAMED: &[u8] = b"*2\r\n$9\r\n127.0.0.1\r\n";

/// How a Sentinel lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// It does not.
    Honest,
    /// It names this server, whatever was promoted, and tells of no promotion.
    Names(u16),
    /// It says that it watches nothing.
    KnowsNone,
    /// It takes what it is asked, and answers once it is honest again.
    Silent,
    /// It cannot be reached.
    Away,
}

/// A Sentinel as clients see it.
#[derive(Debug)]
pub(super) struct Liar {
    pub(super) port: u16,
    lie: watch::Sender<Lie>,
}

impl Liar {
    pub(super) async fn start(sentinel: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (lie, told) = watch::channel(Lie::Honest);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, sentinel, told.clone()));
            }
        });
        Ok(Self { port, lie })
    }

    pub(super) fn tell(&self, lie: Lie) {
        self.lie.send_replace(lie);
    }

    pub(super) fn is_honest(&self) -> bool {
        *self.lie.borrow() == Lie::Honest
    }
}

async fn carry(mut client: TcpStream, sentinel: u16, told: watch::Receiver<Lie>) {
    if *told.borrow() == Lie::Away {
        return;
    }
    let Ok(mut sentinel) = TcpStream::connect(("127.0.0.1", sentinel)).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_sentinel, mut to_sentinel) = sentinel.split();
    let mut away = told.clone();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_sentinel) => {}
        () = retell(&mut from_sentinel, &mut to_client, told) => {}
        _ = away.wait_for(|lie| *lie == Lie::Away) => {}
    }
}

/// Passes on what a Sentinel says, or what is told instead.
async fn retell(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut told: watch::Receiver<Lie>,
) {
    // Whatever is said here fits, and is written at once.
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let said = &buffer[..count];
        let Ok(lie) = told.wait_for(|lie| *lie != Lie::Silent).await.map(|lie| *lie) else { return };
        let retold = match lie {
            Lie::Honest | Lie::Away | Lie::Silent => said.to_vec(),
            Lie::Names(_) | Lie::KnowsNone if is_news(said) => continue,
            Lie::Names(port) if said.starts_with(NAMED) => {
                let port = port.to_string();
                [NAMED, format!("${}\r\n{port}\r\n", port.len()).as_bytes()].concat()
            }
            Lie::KnowsNone if said.starts_with(NAMED) => b"_\r\n".to_vec(),
            Lie::Names(_) | Lie::KnowsNone => said.to_vec(),
        };
        if to.write_all(&retold).await.is_err() {
            return;
        }
    }
}

/// Whether it tells of a promotion. The confirmation of a subscription names the channel too.
fn is_news(said: &[u8]) -> bool {
    let contains = |text: &str| said.windows(text.len()).any(|window| window == text.as_bytes());
    (contains(SWITCH) || contains(PROMOTED)) && !contains("subscribe")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client hears of a Sentinel that says this.
    async fn heard(said: &[u8], lie: Lie) -> Vec<u8> {
        let (tell, told) = watch::channel(lie);
        let mut heard = Vec::new();
        // One that is silent is left alone.
        drop(tell);
        retell(&mut &*said, &mut heard, told).await;
        heard
    }

    #[tokio::test]
    async fn a_lie_is_told_in_place_of_an_answer_and_news_are_kept_back() {
        let named = b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n";
        let news = b">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$36\r\nchaos 127.0.0.1 7001 127.0.0.1 60002\r\n";
        assert_eq!(heard(named, Lie::Honest).await, named);
        assert_eq!(heard(named, Lie::Names(60_002)).await, b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n60002\r\n");
        assert_eq!(heard(named, Lie::KnowsNone).await, b"_\r\n");
        assert_eq!(heard(named, Lie::Silent).await, b"");
        assert_eq!(heard(news, Lie::Honest).await, news);
        assert_eq!(heard(news, Lie::Names(7_001)).await, b"");
        let confirmed = b">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";
        assert_eq!(heard(confirmed, Lie::Names(7_001)).await, confirmed);
        assert_eq!(heard(b"+PONG\r\n", Lie::KnowsNone).await, b"+PONG\r\n");
    }
}
