//! Adding a queue to the set of queues where another server has that set.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::time::timeout;

use crate::RedisBroker;
use crate::connection::ANSWER;
use crate::queue::Queue;

/// How long a message waits for its queue to be listed, so that whoever sends and then lists finds it. The server that
/// has the list may be away, and no message depends on it.
const LISTED: Duration = Duration::from_millis(250);

/// Sends the announcement by itself. Where it takes longer than a message should wait, it goes on beside that.
pub(crate) async fn apart(broker: &RedisBroker, queue: &Arc<Queue>, announcement: Cmd) {
    let (broker, queue) = (broker.clone(), Arc::clone(queue));
    let announced = tokio::spawn(async move {
        let inner = broker.inner();
        let answer = inner.commands.to_set(&inner.queues).command(&announcement, ANSWER).await;
        if answer.is_err_and(|error| !error.is_lasting_refusal()) {
            queue.forget_announcement();
        }
    });
    let _ = timeout(LISTED, announced).await;
}
