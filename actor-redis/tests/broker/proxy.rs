//! A wire between the broker and the server that can lose an answer, hold up a request, or be slow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp, unix};
use tokio::sync::Notify;

use crate::server::Server;

/// What a slow wire takes for a byte.
const SLOW: Duration = Duration::from_nanos(1_000_000_000 / (2 << 20));

pub(crate) struct Proxy {
    port: u16,
    wire: Arc<Wire>,
}

/// What all connections share.
#[derive(Default)]
struct Wire {
    swallow: AtomicBool,
    hold: AtomicBool,
    slow: AtomicBool,
    /// After how many ms of quiet a connection is forgotten; 0 for never.
    forgets_after: AtomicU64,
    /// The server's socket.
    leads_to: Mutex<String>,
    let_go: Notify,
    gone: Notify,
}

impl Proxy {
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let socket = shared.leads_to.lock().unwrap().clone();
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        let proxy = Self { port, wire };
        proxy.lead_to(server);
        proxy
    }

    /// Leads new connections to this server. Those that stand stay where they are.
    pub(crate) fn lead_to(&self, server: &Server) {
        *self.wire.leads_to.lock().unwrap() = server.socket();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Loses the next answer, and cuts its connection.
    pub(crate) fn swallow_the_next_answer(&self) {
        self.wire.swallow.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_swallowed(&self) -> bool {
        !self.wire.swallow.load(Ordering::SeqCst)
    }

    /// Keeps the next request back.
    pub(crate) fn hold_the_next_request(&self) {
        self.wire.hold.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_held(&self) -> bool {
        !self.wire.hold.load(Ordering::SeqCst)
    }

    /// Carries 2 MiB a second from now on, each way and on each connection.
    pub(crate) fn be_slow(&self) {
        self.wire.slow.store(true, Ordering::SeqCst);
    }

    /// Forgets connections that were quiet for this long, and closes none: what comes on them later is lost.
    pub(crate) fn forget_after(&self, quiet: Duration) {
        self.wire.forgets_after.store(u64::try_from(quiet.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Lets what was kept back go to the server, if that still takes it.
    pub(crate) async fn let_it_go(&self) {
        self.wire.let_go.notify_one();
        self.wire.gone.notified().await;
    }
}

impl Wire {
    async fn take_the_time_for(&self, bytes: usize) {
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(SLOW * u32::try_from(bytes).unwrap()).await;
        }
    }
}

/// When something last came by on a connection, and whether it is forgotten.
#[derive(Default)]
struct Quiet(Mutex<Option<Instant>>, AtomicBool);

impl Quiet {
    /// Whether the connection is forgotten, now that something comes by.
    fn is_forgotten(&self, wire: &Wire) -> bool {
        let after = Duration::from_millis(wire.forgets_after.load(Ordering::SeqCst));
        let last = self.0.lock().unwrap().replace(Instant::now());
        if !after.is_zero() && last.is_some_and(|last| last.elapsed() > after) {
            self.1.store(true, Ordering::SeqCst);
        }
        self.1.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, server: UnixStream, wire: Arc<Wire>) {
    let quiet = Arc::new(Quiet::default());
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    // A client that is gone does not end this: what it sent is still under way.
    tokio::spawn(carry_requests(from_client, to_server, Arc::clone(&wire), Arc::clone(&quiet)));
    let mut bytes = vec![0; 65536];
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        wire.take_the_time_for(count).await;
        if quiet.is_forgotten(&wire) {
            continue;
        }
        if wire.swallow.swap(false, Ordering::SeqCst) || to_client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

async fn carry_requests(
    mut from_client: tcp::OwnedReadHalf,
    mut to_server: unix::OwnedWriteHalf,
    wire: Arc<Wire>,
    quiet: Arc<Quiet>,
) {
    let mut bytes = vec![0; 65536];
    while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
        wire.take_the_time_for(count).await;
        if quiet.is_forgotten(&wire) {
            continue;
        }
        let held = wire.hold.swap(false, Ordering::SeqCst);
        if held {
            wire.let_go.notified().await;
        }
        let sent = to_server.write_all(&bytes[..count]).await;
        if held {
            wire.gone.notify_one();
        }
        if sent.is_err() {
            break;
        }
    }
}
