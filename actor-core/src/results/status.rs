//! Where a message stands, or how it ended.

use std::time::SystemTime;

use super::record::{Record, State};
use super::{Ended, PROGRESS, Progress, Results, Standing};
use crate::actor::Actor;
use crate::control::Asking;
use crate::{Broker, BrokerError, MessageId, QueueName, Sent, wire};

/// Where a message stands, or how it ended. Times are by the broker's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It is scheduled: for its time, for a retry, or until a worker can run it.
    Scheduled {
        /// When it is ready.
        until: SystemTime,
    },
    /// It waits in its lane, for the [limits](crate::Queue) of its queue.
    Waiting,
    /// It is ready: a worker takes it as soon as one has a free slot.
    Ready,
    /// A worker has it: it runs, or is about to.
    InFlight {
        /// When it was delivered.
        since: SystemTime,
        /// What the run said last of how far it has come.
        progress: Option<Progress>,
    },
    /// It waits or runs. The queue has more messages than are looked at for one status.
    Pending,
    /// It was done.
    Done {
        /// When.
        at: SystemTime,
    },
    /// It failed for good.
    Failed {
        /// Why.
        reason: String,
        /// How many attempts were made; `None` where that is not known.
        attempts: Option<u32>,
        /// When; `None` where that is not known.
        at: Option<SystemTime>,
    },
    /// It was cancelled, and ended with that.
    Cancelled,
    /// It is in no state, and nothing is kept of how it ended: its actor keeps no results, their time is over, it was
    /// deleted, it never was, or it [follows](crate::Message::send_after) from a run that goes on.
    Unknown,
}

impl Status {
    /// Whether the message has ended: nothing more happens to it by itself.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

impl<A: Actor> Sent<A> {
    /// Where the message stands, or how it ended, through the installed broker. How it ended is known of actors that
    /// [keep results](crate::results), and of dead letters.
    ///
    /// ```
    /// use std::time::Duration;
    /// use actor_core::results::Status;
    /// use actor_core::{MemoryBroker, actor};
    ///
    /// #[actor(queue = "mail")]
    /// async fn remind(to: String) {
    ///     println!("do not forget, {to}");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// actor_core::install(MemoryBroker::new())?;
    /// let sent = remind.message("Ada".to_owned()).delay(Duration::from_secs(3600)).send().await?;
    /// assert!(matches!(sent.status().await?, Status::Scheduled { .. }));
    /// // From an id, as a service keeps it:
    /// assert!(matches!(remind.status(sent.id()).await?, Status::Scheduled { .. }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ControlError`](crate::control::ControlError). It is safe to ask again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub fn status(&self) -> Asking<'static, Status> {
        Asking::status(A::DEF, self.id(), None)
    }

    /// The same through `broker`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    ///
    /// # Cancel safety
    ///
    /// As [`status`](Self::status).
    pub fn status_with<'a>(&self, broker: &'a dyn Broker) -> Asking<'a, Status> {
        Asking::status(A::DEF, self.id(), Some(broker))
    }
}

/// Where a message stands.
pub(crate) async fn status(
    broker: &dyn Broker,
    results: &dyn Results,
    queue: &QueueName,
    id: MessageId,
) -> Result<Status, BrokerError> {
    if let Some(ended) = results.read_result(queue, id).await? {
        return Ok(of_ended(&ended));
    }
    Ok(match results.find_message(queue, id).await? {
        Standing::Scheduled { until } => Status::Scheduled { until },
        Standing::Waiting => Status::Waiting,
        Standing::Ready => Status::Ready,
        Standing::InFlight { since } => Status::InFlight { since, progress: progress(broker, queue, id).await? },
        Standing::Pending => Status::Pending,
        // It may have ended just now.
        Standing::Dead | Standing::Nowhere => {
            results.read_result(queue, id).await?.as_ref().map_or(Status::Unknown, of_ended)
        }
    })
}

fn of_ended(ended: &Ended) -> Status {
    let record = match ended {
        Ended::Recorded(record) => record,
        Ended::Cancelled => return Status::Cancelled,
        Ended::Dead { reason } => return Status::Failed { reason: reason.clone(), attempts: None, at: None },
    };
    let Ok(record) = Record::read(record) else { return Status::Unknown };
    let at = wire::to_time(record.ended_at);
    match record.state {
        State::Done => Status::Done { at },
        State::Failed => {
            let reason = record.reason.unwrap_or_default().into_owned();
            Status::Failed { reason, attempts: record.attempts, at: Some(at) }
        }
        State::Cancelled => Status::Cancelled,
    }
}

async fn progress(broker: &dyn Broker, queue: &QueueName, id: MessageId) -> Result<Option<Progress>, BrokerError> {
    let Some(states) = broker.states() else { return Ok(None) };
    let fields = states.get(queue, id).await?;
    let field = fields.iter().find(|(name, _)| name == PROGRESS);
    Ok(field.and_then(|(_, value)| Progress::read(value)))
}
