//! The network between one process and Redis: a TCP proxy that can misbehave.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::memory::{Memory, Remembered};

/// The network's behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Passes everything on.
    Clear,
    /// Cuts every connection, and refuses new ones.
    Cut,
    /// Holds back what the process sends until the condition changes, as TCP does with lost packets.
    Mute,
    /// Holds back what Redis sends until the condition changes.
    Deaf,
    /// Passes on part of an answer, then resets the connection.
    Snap,
    /// Delays everything by 1 to 500 ms.
    Lag,
    /// Passes a few bytes at a time.
    Drip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToRedis,
    FromRedis,
}

/// The network's behaviour, and the server it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    condition: Condition,
    target: u16,
}

impl Route {
    /// Whether a connection to `target` must end.
    fn cuts(self, target: u16) -> bool {
        self.condition == Condition::Cut || self.target != target
    }
}

/// Why a connection ended.
enum Over {
    Closed,
    Reset,
}

impl Over {
    fn is_heard(&self, remembered: &Remembered) -> bool {
        matches!(self, Self::Reset) || !remembered.forgets()
    }
}

/// One process's route to Redis.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    route: watch::Sender<Route>,
}

impl Proxy {
    /// Listens on its own port. A network with a memory drops connections that are idle for too long.
    pub(crate) async fn start(target: u16, memory: Option<Memory>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (route, now) = watch::channel(Route { condition: Condition::Clear, target });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Remembered::new(memory.clone()), now.clone()));
            }
        });
        Ok(Self { port, route })
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.route.send_modify(|route| route.condition = condition);
    }

    /// Routes to another server from now on, and resets connections to the old one.
    pub(crate) fn point(&self, target: u16) {
        self.route.send_modify(|route| route.target = target);
    }
}

async fn carry(mut client: TcpStream, remembered: Remembered, route: watch::Receiver<Route>) {
    let Route { condition, target } = *route.borrow();
    if condition == Condition::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let over = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut there =
            std::pin::pin!(pump(&mut from_client, &mut to_server, Way::ToRedis, target, &remembered, route.clone()));
        let mut back =
            std::pin::pin!(pump(&mut from_server, &mut to_client, Way::FromRedis, target, &remembered, route));
        // The other end does not learn that a dropped connection was closed.
        tokio::select! {
            over = &mut there => if over.is_heard(&remembered) { over } else { back.await },
            over = &mut back => if over.is_heard(&remembered) { over } else { there.await },
        }
    };
    if matches!(over, Over::Reset) {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    way: Way,
    target: u16,
    remembered: &Remembered,
    mut route: watch::Receiver<Route>,
) -> Over {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = route.wait_for(|route| route.cuts(target)) => return Over::Reset,
        };
        let Ok(count @ 1..) = read else { return Over::Closed };
        if remembered.forgets() {
            continue;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let now = *route.borrow_and_update();
            if now.cuts(target) {
                return Over::Reset;
            }
            let part = match (now.condition, way) {
                (Condition::Mute, Way::ToRedis) | (Condition::Deaf, Way::FromRedis) => {
                    if route.changed().await.is_err() {
                        return Over::Closed;
                    }
                    continue;
                }
                (Condition::Snap, Way::FromRedis) => {
                    let part = fastrand::usize(..rest.len());
                    let _ = to.write_all(&rest[..part]).await;
                    return Over::Reset;
                }
                (Condition::Lag, _) => {
                    sleep(Duration::from_millis(fastrand::u64(1..=500))).await;
                    rest.len()
                }
                (Condition::Drip, _) => {
                    sleep(Duration::from_millis(20)).await;
                    rest.len().min(8)
                }
                _ => rest.len(),
            };
            if to.write_all(&rest[..part]).await.is_err() {
                return Over::Closed;
            }
            rest = &rest[part..];
        }
    }
}
