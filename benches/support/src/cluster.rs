//! Servers among which queues are spread: a cluster of a benchmark's own, or one server.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use actor_redis::RedisBroker;
use redis::cmd;

use crate::{Persistence, Result, Server};

/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// Longer than members need to know one another.
const HANG: Duration = Duration::from_secs(60);

/// Servers that end with this value, each of which serves as many of some queues.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    /// For each queue its name, and which server serves it.
    queues: Vec<(String, usize)>,
    url: String,
}

impl Cluster {
    /// One server, which is no cluster.
    ///
    /// # Errors
    ///
    /// There is no redis-server, or it does not start.
    pub async fn none(queues: &[&str]) -> Result<Self> {
        let server = Server::start(Persistence::Off).await?;
        let queues = queues.iter().map(|queue| ((*queue).to_owned(), 0)).collect();
        Ok(Self { url: server.url(), servers: vec![server], queues })
    }

    /// A cluster of so many primaries without replicas. Its slots are cut where each primary gets as many of the queues.
    ///
    /// # Errors
    ///
    /// There is no redis-server, or it does not start, or they do not agree.
    pub async fn of(primaries: usize, queues: &[&str]) -> Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..primaries {
            servers.push(member().await?);
        }
        let mut slots = Vec::new();
        for queue in queues {
            let slot: usize = servers[0].ask(cmd("CLUSTER").arg("KEYSLOT").arg(format!("{{actor:{queue}}}"))).await?;
            slots.push((slot, (*queue).to_owned()));
        }
        slots.sort_unstable();
        let mut first = 0;
        for (at, server) in servers.iter().enumerate() {
            let end = slots.get((at + 1) * slots.len() / primaries).map_or(SLOTS, |(slot, _)| *slot);
            server.ask::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg((first, end - 1))).await?;
            server.ask::<()>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(at + 1)).await?;
            first = end;
        }
        for server in &servers[1..] {
            let bus: (String, u16) = server.ask(cmd("CONFIG").arg("GET").arg("cluster-port")).await?;
            let meet = ("MEET", "127.0.0.1", server.port(), bus.1);
            servers[0].ask::<()>(cmd("CLUSTER").arg(meet)).await?;
        }
        agreed(&servers).await?;
        let count = slots.len();
        let serving = |(at, (_, queue)): (usize, (usize, String))| (queue, at * primaries / count);
        let queues = slots.into_iter().enumerate().map(serving).collect();
        let url = format!("redis+cluster://127.0.0.1:{}", servers[0].port());
        Ok(Self { servers, queues, url })
    }

    /// A new broker, after everything was removed.
    ///
    /// # Errors
    ///
    /// A server did not answer.
    pub async fn broker(&self) -> Result<RedisBroker> {
        for server in &self.servers {
            server.clear().await?;
        }
        Ok(RedisBroker::connect(&self.url).await?)
    }

    /// The CPU time that each server has used.
    ///
    /// # Errors
    ///
    /// A server did not answer.
    pub async fn cpu(&self) -> Result<Vec<Duration>> {
        let mut all = Vec::new();
        for server in &self.servers {
            all.push(server.cpu().await?);
        }
        Ok(all)
    }

    /// Waits until all messages of all queues are settled.
    ///
    /// # Errors
    ///
    /// They are not, or a server did not answer.
    pub async fn settled(&self) -> Result {
        for (queue, at) in &self.queues {
            self.servers[*at].settled(queue, 0).await?;
        }
        Ok(())
    }
}

async fn member() -> Result<Server> {
    // The default is the port and 10,000, which may be none.
    let bus = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    Server::with(Persistence::Off, &["--cluster-enabled", "yes", "--cluster-port", &bus]).await
}

/// Waits until each knows who serves all slots.
async fn agreed(servers: &[Server]) -> Result {
    let began = Instant::now();
    for server in servers {
        loop {
            let info: String = server.ask(cmd("CLUSTER").arg("INFO")).await?;
            let size = format!("cluster_size:{}", servers.len());
            if info.contains("cluster_state:ok") && info.contains(&size) {
                break;
            }
            if began.elapsed() > HANG {
                return Err("the cluster's members do not agree".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
