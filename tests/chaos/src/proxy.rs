//! The network between one process and Redis, or before one server: a TCP proxy that can misbehave.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    /// Holds back everything until the condition changes.
    Hold,
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

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Client,
    /// Another server, which has an address of its own.
    Server(IpAddr),
}

impl Peer {
    fn at(address: SocketAddr) -> Self {
        if address.ip() == Ipv4Addr::LOCALHOST { Self::Client } else { Self::Server(address.ip()) }
    }
}

/// The network's behaviour, and the server it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    clients: Condition,
    servers: Condition,
    /// Another server that is treated by itself.
    one: Option<(IpAddr, Condition)>,
    target: u16,
}

impl Route {
    fn condition(self, peer: Peer) -> Condition {
        match peer {
            Peer::Client => self.clients,
            Peer::Server(address) => match self.one {
                Some((one, condition)) if one == address => condition,
                _ => self.servers,
            },
        }
    }

    /// Whether a connection to `target` must end.
    fn cuts(self, peer: Peer, target: u16) -> bool {
        self.condition(peer) == Condition::Cut || self.target != target
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
        let (clients, servers) = (Condition::Clear, Condition::Clear);
        let (route, now) = watch::channel(Route { clients, servers, one: None, target });
        tokio::spawn(async move {
            while let Ok((client, address)) = listener.accept().await {
                let remembered = Remembered::new(memory.clone());
                tokio::spawn(carry(client, Peer::at(address), remembered, now.clone()));
            }
        });
        Ok(Self { port, route })
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.route.send_modify(|route| route.clients = condition);
    }

    /// Sets the network between this server and those that replicate it, or connect to it for another reason.
    pub(crate) fn set_for_servers(&self, condition: Condition) {
        self.route.send_modify(|route| route.servers = condition);
    }

    /// Sets the network between this server and another. Only one other is treated by itself at a time.
    pub(crate) fn set_for(&self, server: IpAddr, condition: Condition) {
        let one = (condition != Condition::Clear).then_some((server, condition));
        self.route.send_modify(|route| route.one = one);
    }

    /// Routes to another server from now on, and resets connections to the old one.
    pub(crate) fn point(&self, target: u16) {
        self.route.send_modify(|route| route.target = target);
    }
}

/// What a connection was made for.
#[derive(Clone, Copy)]
struct Line<'a> {
    peer: Peer,
    target: u16,
    remembered: &'a Remembered,
}

async fn carry(mut client: TcpStream, peer: Peer, remembered: Remembered, route: watch::Receiver<Route>) {
    let now = *route.borrow();
    if now.condition(peer) == Condition::Cut {
        return;
    }
    let line = Line { peer, target: now.target, remembered: &remembered };
    let target = now.target;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let over = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut there = std::pin::pin!(pump(&mut from_client, &mut to_server, Way::ToRedis, line, route.clone()));
        let mut back = std::pin::pin!(pump(&mut from_server, &mut to_client, Way::FromRedis, line, route));
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
    Line { peer, target, remembered }: Line<'_>,
    mut route: watch::Receiver<Route>,
) -> Over {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = route.wait_for(|route| route.cuts(peer, target)) => return Over::Reset,
        };
        let Ok(count @ 1..) = read else { return Over::Closed };
        if remembered.forgets() {
            continue;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let now = *route.borrow_and_update();
            if now.cuts(peer, target) {
                return Over::Reset;
            }
            let part = match (now.condition(peer), way) {
                (Condition::Mute, Way::ToRedis) | (Condition::Deaf, Way::FromRedis) | (Condition::Hold, _) => {
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
