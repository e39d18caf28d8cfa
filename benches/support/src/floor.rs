//! The floor: a program that does the same by hand, with the same `redis` crate, on a stream with a consumer group,
//! with real acknowledgements. It has no leases, retries, priorities, time limits, atomic settling or reconnecting:
//! these are what the library adds.

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value, cmd, pipe};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Cost, Meter, Result, Server, Tally};

/// The stream. Its name is as long as the library's, and so are the commands.
const STREAM: &str = "{actor:bench}:ready:normal";
const GROUP: &str = "workers";
/// The library sends as many in one pipeline.
const PIPELINE: u64 = 1_000;
/// How many messages a read asks for, and how many are settled together.
const BATCH: usize = 256;

/// The members of the library's message, with derived code.
#[derive(Serialize, Deserialize)]
struct Body<'a, T> {
    v: u32,
    id: Uuid,
    actor: &'a str,
    queue: &'a str,
    args: (u64, T),
    attempt: u32,
    crashes: u32,
    sent_at: u64,
}

/// The text that makes a message's body so many bytes long, for any number below a million.
#[must_use]
pub fn text_for_body(bytes: usize) -> String {
    "x".repeat(bytes.saturating_sub(body(FIRST, "").len()))
}

/// Numbers in [`text_for_body`]'s messages start here, so that all have as many digits.
pub const FIRST: u64 = 100_000;

/// The length of such a message's body.
#[must_use]
pub fn body_len(n: u64, text: &str) -> usize {
    body(n, text).len()
}

fn body(n: u64, text: &str) -> Vec<u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let sent_at = u64::try_from(since.as_millis()).unwrap_or_default();
    let id = Uuid::now_v7();
    let body = Body { v: 1, id, actor: "noop", queue: "bench", args: (n, text), attempt: 0, crashes: 0, sent_at };
    serde_json::to_vec(&body).expect("numbers and texts always serialize")
}

fn add(n: u64, text: &str) -> Cmd {
    let mut add = cmd("XADD");
    add.arg(STREAM).arg("*").arg("m").arg(body(n, text));
    add
}

/// A program's connections: one for waiting reads, one for everything else.
#[derive(Clone, Debug)]
pub struct Floor {
    commands: MultiplexedConnection,
    reads: MultiplexedConnection,
}

impl Floor {
    /// Connects to an empty server, and creates the stream and its group.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn connect(url: &str) -> Result<Self> {
        // With the crate's default TCP settings, without `TCP_NODELAY`: small requests then go out together, which
        // makes the floor a fifth faster.
        let client = redis::Client::open(url)?;
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut commands = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let reads = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut group = cmd("XGROUP");
        group.arg("CREATE").arg(STREAM).arg(GROUP).arg("0").arg("MKSTREAM").exec_async(&mut commands).await?;
        Ok(Self { commands, reads })
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// Redis did not take it.
    pub async fn send(&self, n: u64, text: &str) -> Result {
        Ok(add(n, text).exec_async(&mut self.commands.clone()).await?)
    }

    /// Sends messages one after another.
    ///
    /// # Errors
    ///
    /// Redis did not take one.
    pub async fn send_each(&self, ids: Range<u64>, text: &str) -> Result {
        let mut commands = self.commands.clone();
        for n in ids {
            add(n, text).exec_async(&mut commands).await?;
        }
        Ok(())
    }

    /// Sends from so many concurrent tasks, each one message after another.
    ///
    /// # Errors
    ///
    /// Redis did not take one.
    pub async fn send_from(&self, senders: u64, ids: Range<u64>, text: &Arc<str>) -> Result {
        let mut sending = JoinSet::new();
        for share in crate::library::shares(ids, senders) {
            let (floor, text) = (self.clone(), Arc::clone(text));
            sending.spawn(async move { floor.send_each(share, &text).await });
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        Ok(())
    }

    /// Sends in pipelines.
    ///
    /// # Errors
    ///
    /// Redis did not take one.
    pub async fn send_many(&self, ids: Range<u64>, text: &str) -> Result {
        for share in crate::library::shares(ids.clone(), (ids.end - ids.start).div_ceil(PIPELINE)) {
            let mut pipeline = pipe();
            for n in share {
                pipeline.add_command(add(n, text));
            }
            pipeline.exec_async(&mut self.commands.clone()).await?;
        }
        Ok(())
    }

    /// Works until dropped: reads in batches, runs each message in a task of its own, and settles in batches.
    #[must_use]
    pub fn work(&self, tally: &Arc<Tally>) -> JoinSet<Result> {
        let (done, settled) = unbounded_channel();
        let mut worker = JoinSet::new();
        worker.spawn(self.clone().read(Arc::clone(tally), done));
        worker.spawn(self.clone().settle(settled));
        worker
    }

    /// Drains the stream, and measures it.
    ///
    /// # Errors
    ///
    /// A message was not run exactly once.
    pub async fn drain(&self, server: &Server, tally: &Arc<Tally>) -> Result<Cost> {
        let meter = Meter::start(server).await?;
        let _worker = self.work(tally);
        tally.reached().await?;
        server.settled("bench", 0).await?;
        let cost = meter.stop(server, tally.started()).await?;
        tally.verify()?;
        Ok(cost)
    }

    /// The simplest receiver: a blocking read, whose messages start when it returns.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn receive(mut self, tally: Arc<Tally>) -> Result {
        loop {
            let entries = entries(read().query_async(&mut self.reads).await?);
            entries.iter().for_each(|(_, body)| start(body, &tally));
            let ids: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
            self.acknowledge(&ids).await?;
        }
    }

    async fn read(mut self, tally: Arc<Tally>, done: UnboundedSender<Vec<u8>>) -> Result {
        loop {
            for (id, body) in entries(read().query_async(&mut self.reads).await?) {
                let (tally, done) = (Arc::clone(&tally), done.clone());
                tokio::spawn(async move {
                    start(&body, &tally);
                    let _ = done.send(id);
                });
            }
        }
    }

    async fn settle(mut self, mut done: UnboundedReceiver<Vec<u8>>) -> Result {
        let mut ids = Vec::with_capacity(BATCH);
        while done.recv_many(&mut ids, BATCH).await > 0 {
            self.acknowledge(&ids).await?;
            ids.clear();
        }
        Ok(())
    }

    async fn acknowledge(&mut self, ids: &[Vec<u8>]) -> Result {
        let mut settle = pipe();
        settle.cmd("XACK").arg(STREAM).arg(GROUP).arg(ids).cmd("XDEL").arg(STREAM).arg(ids);
        Ok(settle.exec_async(&mut self.commands).await?)
    }
}

fn read() -> Cmd {
    let mut read = cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg("worker").arg("COUNT").arg(BATCH).arg("BLOCK").arg(0);
    read.arg("STREAMS").arg(STREAM).arg(">");
    read
}

fn start(body: &[u8], tally: &Tally) {
    // The tally misses a body that cannot be read.
    if let Ok(body) = serde_json::from_slice::<Body<'_, String>>(body) {
        tally.start(body.args.0);
    }
}

/// The ids and bodies in `[[stream, [[id, [field, body]], ..]]]`.
fn entries(answer: Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Value::Array(streams) = answer else { return Vec::new() };
    let Some(Value::Array(mut stream)) = streams.into_iter().next() else { return Vec::new() };
    let Some(Value::Array(entries)) = stream.pop() else { return Vec::new() };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(entry: Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let Value::Array(parts) = entry else { return None };
    let [Value::BulkString(id), Value::Array(mut fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let Some(Value::BulkString(body)) = fields.pop() else { return None };
    Some((id, body))
}
