//! The task that is subscribed to the channels of all messages that this process waits for.
//!
//! It ends, with its connection, when nobody has waited for a while. In a cluster it listens to one member: what is published
//! at one is published at all. (A channel of a slot would need a connection to each primary, and a message's channel would
//! move with its slot.)

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use super::waiters::Listening;
use crate::connect::{self, pause};
use crate::connection::ANSWER;
use crate::queue::Queue;

/// For how long nobody has to wait for the connection to be closed.
const LINGER: Duration = Duration::from_secs(10);
/// After which quiet the server is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(5);
/// To how many channels one command subscribes.
const AT_ONCE: usize = 256;

/// Listens until nobody waits.
pub(super) async fn listen(listening: Listening, queue: Arc<Queue>) {
    let mut failures = 0;
    loop {
        match session(&listening, &queue, &mut failures).await {
            Ok(()) => return,
            // Whoever waits looks by itself meanwhile.
            Err(error) => tracing::debug!(%error, "the subscription to results is lost"),
        }
        sleep(pause(failures)).await;
        failures += 1;
        if listening.end_if_idle() {
            return;
        }
    }
}

type Lost = Box<dyn std::error::Error + Send + Sync>;

/// Listens on one connection.
async fn session(listening: &Listening, queue: &Queue, failures: &mut u32) -> Result<(), Lost> {
    let connections = listening.broker.inner().commands.connections(queue).await?;
    let live = connect::connect(connections.endpoint(), 0, &[]).await?;
    let (sender, mut heard) = unbounded_channel();
    live.listen(sender);
    let mut connection = live.connection.clone();
    connection.set_response_timeout(ANSWER);
    subscribe(listening, &mut connection, &listening.all()).await?;
    *failures = 0;
    loop {
        let (subscribes, leaves) = listening.changes();
        for part in leaves.chunks(AT_ONCE) {
            connection.unsubscribe(part.iter().map(|channel| &**channel).collect::<Vec<_>>()).await?;
        }
        subscribe(listening, &mut connection, &subscribes).await?;
        tokio::select! {
            biased;
            push = heard.recv() => match push {
                Some(PushInfo { kind: PushKind::Message, data }) => {
                    if let Some(Value::BulkString(channel)) = data.first() {
                        listening.tell(std::str::from_utf8(channel));
                    }
                }
                Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => return Err("it was disconnected".into()),
                Some(_) => {}
            },
            () = listening.wake.notified() => {}
            () = demoted(&live) => return Err("Sentinel has promoted another server".into()),
            () = sleep(if listening.is_idle() { LINGER } else { QUIET }) => {
                if listening.end_if_idle() {
                    return Ok(());
                }
                // Any answer will do.
                drop(connection.send_packed_command(&redis::cmd("PING")).await?);
            }
        }
    }
}

/// Subscribes, and has whoever waits look: what ended before is not said again.
async fn subscribe(
    listening: &Listening,
    connection: &mut MultiplexedConnection,
    channels: &[Arc<str>],
) -> Result<(), Lost> {
    for part in channels.chunks(AT_ONCE) {
        let names: Vec<&str> = part.iter().map(|channel| &**channel).collect();
        connection.subscribe(&names).await?;
        listening.tell(names);
    }
    Ok(())
}

async fn demoted(live: &connect::Live) {
    match &live.node.demotion {
        Some(demotion) => demotion.announced().await,
        None => std::future::pending().await,
    }
}
