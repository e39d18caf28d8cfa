//! Adding a queue to the set of queues where another server has that set.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::RedisBroker;
use crate::connection::ANSWER;
use crate::link::Link;
use crate::queue::Queue;

/// How long whoever sent waits for the queue to be listed, so that who sends and then lists finds it. The server that
/// has the list may be away, and no message depends on it.
const LISTED: Duration = Duration::from_millis(250);

/// The first announcement of a queue: a command to send with its messages, or what is sent beside them.
pub(crate) fn first(broker: &RedisBroker, queue: &Arc<Queue>) -> (Option<Cmd>, Option<JoinHandle<()>>) {
    match *broker.inner().commands {
        Link::One(_) => (queue.first_announcement(broker.inner().queues.namespace()), None),
        Link::Cluster(..) => (None, where_apart(broker, queue)),
    }
}

/// Sends the first announcement of a queue beside its messages, where it cannot go with them.
pub(crate) fn where_apart(broker: &RedisBroker, queue: &Arc<Queue>) -> Option<JoinHandle<()>> {
    let inner = broker.inner();
    if matches!(*inner.commands, Link::One(_)) {
        return None;
    }
    let announcement = queue.first_announcement(inner.queues.namespace())?;
    Some(apart(broker, queue, announcement))
}

/// Sends the announcement beside what else is sent.
fn apart(broker: &RedisBroker, queue: &Arc<Queue>, announcement: Cmd) -> JoinHandle<()> {
    let (broker, queue) = (broker.clone(), Arc::clone(queue));
    tokio::spawn(async move {
        let inner = broker.inner();
        let answer = inner.commands.to_set(&inner.queues).command(&announcement, ANSWER).await;
        if answer.is_err_and(|error| !error.is_lasting_refusal()) {
            queue.forget_announcement();
        }
    })
}

/// Waits for it, and no longer than one should: then it goes on by itself.
pub(crate) async fn listed(announced: JoinHandle<()>) {
    let _ = timeout(LISTED, announced).await;
}
