//! Sending again what may not have been stored, where its idempotency key makes that safe.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::{Broker, Enqueue, Enqueued};
use crate::{BrokerError, QueueName};

/// The pauses before each time that it is sent again. A broker that is away is given a moment to come back.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// From when nothing is sent again: a request may take as long as its broker lets it.
const LONGEST: Duration = Duration::from_secs(15);

/// Stores messages, as [`Broker::enqueue`] does, and repeats those with an idempotency key as long as it is not known
/// whether they were stored.
pub(crate) async fn enqueue(
    broker: &dyn Broker,
    queue: &QueueName,
    messages: Vec<Enqueue>,
) -> Vec<Result<Enqueued, BrokerError>> {
    if messages.iter().all(|message| message.idempotency.is_none()) {
        return broker.enqueue(queue, messages).await;
    }
    Box::pin(repeat(broker, queue, messages)).await
}

async fn repeat(broker: &dyn Broker, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
    let began = Instant::now();
    let mut answers = broker.enqueue(queue, messages.clone()).await;
    for pause in PAUSES {
        let is_open = |answer: &Result<_, BrokerError>| answer.as_ref().is_err_and(BrokerError::is_unknown);
        let open = messages.iter().zip(&mut answers);
        let open = open.filter(|(message, answer)| message.idempotency.is_some() && is_open(answer));
        let (again, open): (Vec<_>, Vec<_>) = open.map(|(message, answer)| (message.clone(), answer)).unzip();
        if again.is_empty() || began.elapsed() + pause > LONGEST {
            break;
        }
        sleep(pause).await;
        for (answer, repeated) in open.into_iter().zip(broker.enqueue(queue, again).await) {
            // What was not stored now may have been stored before.
            if repeated.is_ok() || repeated.as_ref().is_err_and(BrokerError::is_stored) {
                *answer = repeated;
            }
        }
    }
    answers
}
