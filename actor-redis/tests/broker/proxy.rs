//! A wire between the broker and the server that can lose an answer, hold up a request, be slow, or forget a
//! connection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// After which quiet a connection is forgotten.
    forget_after: Mutex<Option<Duration>>,
    forgotten: AtomicUsize,
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

    /// Forgets a connection that was quiet for so long, as a NAT does: what is sent on it later arrives nowhere,
    /// and nobody is told.
    pub(crate) fn forget_after(&self, quiet: Duration) {
        *self.wire.forget_after.lock().unwrap() = Some(quiet);
    }

    /// How many connections were forgotten.
    pub(crate) fn forgotten(&self) -> usize {
        self.wire.forgotten.load(Ordering::SeqCst)
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

/// What the wire remembers of a connection.
struct Memory {
    wire: Arc<Wire>,
    /// When something passed last; none once it is forgotten.
    passed: Mutex<Option<Instant>>,
}

impl Memory {
    /// Whether a connection is known, on which something is to pass now.
    fn is_known(&self) -> bool {
        let mut passed = self.passed.lock().unwrap();
        let limit = *self.wire.forget_after.lock().unwrap();
        if let (Some(last), Some(limit)) = (*passed, limit)
            && last.elapsed() >= limit
        {
            *passed = None;
            self.wire.forgotten.fetch_add(1, Ordering::SeqCst);
        }
        *passed = passed.map(|_| Instant::now());
        passed.is_some()
    }
}

async fn carry(client: TcpStream, server: UnixStream, wire: Arc<Wire>) {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let memory = Arc::new(Memory { wire: Arc::clone(&wire), passed: Mutex::new(Some(Instant::now())) });
    // A client that is gone does not end this: what it sent is still under way.
    tokio::spawn(carry_requests(from_client, to_server, Arc::clone(&memory)));
    let mut bytes = vec![0; 65536];
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        if !memory.is_known() {
            continue;
        }
        wire.take_the_time_for(count).await;
        if wire.swallow.swap(false, Ordering::SeqCst) || to_client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    if !memory.is_known() {
        // Nor does its end arrive.
        std::future::pending::<()>().await;
    }
}

async fn carry_requests(mut from_client: tcp::OwnedReadHalf, mut to_server: unix::OwnedWriteHalf, memory: Arc<Memory>) {
    let wire = &memory.wire;
    let mut bytes = vec![0; 65536];
    while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
        if !memory.is_known() {
            continue;
        }
        wire.take_the_time_for(count).await;
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
    if !memory.is_known() {
        std::future::pending::<()>().await;
    }
}
