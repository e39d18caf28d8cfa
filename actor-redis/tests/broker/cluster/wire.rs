//! A wire before each member of a cluster, on which all connections can be cut after so many bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::members::Cluster;

/// Leads to the members of a cluster.
pub(super) struct Wire {
    /// The port that leads to each port.
    ports: HashMap<u16, u16>,
    shared: Arc<Shared>,
}

struct Shared {
    /// How many bytes may still pass; negative where all may.
    left: AtomicI64,
    cuts: AtomicUsize,
    /// Ends what is connected.
    cut: watch::Sender<u64>,
    /// How often a member has redirected somebody.
    redirected: AtomicUsize,
}

impl Wire {
    pub(super) async fn before(cluster: &Cluster) -> Self {
        let (left, cuts, redirected) = (AtomicI64::new(-1), AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { left, cuts, cut: watch::Sender::new(0), redirected });
        let mut ports = HashMap::new();
        for at in 0..cluster.len() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (port, shared) = (cluster.port(at), Arc::clone(&shared));
            ports.insert(port, listener.local_addr().unwrap().port());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(carry(from_client, to_server, Arc::clone(&shared)));
                    tokio::spawn(carry(from_server, to_client, Arc::clone(&shared)));
                }
            });
        }
        Self { ports, shared }
    }

    /// Where a member is behind the wire.
    pub(super) fn port(&self, port: u16) -> u16 {
        self.ports[&port]
    }

    pub(super) fn ports(&self) -> HashMap<u16, u16> {
        self.ports.clone()
    }

    /// Cuts every connection once so many bytes more have passed, in whatever direction.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.shared.left.store(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }

    /// Whether the cut has not come. It does not come any more then.
    pub(super) fn spare(&self) -> bool {
        self.shared.left.swap(-1, Ordering::SeqCst) >= 0
    }

    pub(super) fn redirected(&self) -> usize {
        self.shared.redirected.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// How many of these bytes pass.
    fn pass(&self, bytes: usize) -> usize {
        let left = self.left.load(Ordering::SeqCst);
        let Ok(passing) = usize::try_from(left) else { return bytes };
        if bytes < passing || (bytes == passing && passing > 0) {
            self.left.fetch_sub(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
            return bytes;
        }
        self.left.store(-1, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
        passing
    }
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    let mut bytes = vec![0; 65_536];
    loop {
        let count = tokio::select! {
            biased;
            _ = cut.changed() => return,
            count = from.read(&mut bytes) => count.unwrap_or(0),
        };
        let passing = shared.pass(count);
        let text = String::from_utf8_lossy(&bytes[..passing]);
        shared.redirected.fetch_add(text.matches("-MOVED").count() + text.matches("-ASK ").count(), Ordering::SeqCst);
        if count == 0 || to.write_all(&bytes[..passing]).await.is_err() {
            return;
        }
        if passing < count {
            shared.cut.send_modify(|cuts| *cuts += 1);
            return;
        }
    }
}
