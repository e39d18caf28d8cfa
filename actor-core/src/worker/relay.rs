//! Brings what follows from runs of a queue to the queues where it belongs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::outage::{Backoff, Outage, until};
use super::panic::caught;
use super::queue_session::ServedQueue;
use super::service::Service;
use crate::settlement::{Consequence, Settlement};
use crate::{Broker, BrokerError, QueueName, failpoint};

/// How often to check for what others have left, without having recovered something of them.
const CHECK: Duration = Duration::from_secs(60);

/// Where a settler says to which queues something follows.
pub(crate) type Targets = UnboundedSender<QueueName>;

/// Relays for one queue, until its settler has ended and all is stored or could not be.
pub(crate) struct Relay {
    broker: Arc<dyn Broker>,
    served: Arc<ServedQueue>,
    outage: Outage,
    targets: UnboundedReceiver<QueueName>,
    is_closed: bool,
    check_at: Option<Instant>,
    /// Those for which something is under way, and whether there is more since.
    active: HashMap<QueueName, bool>,
    /// Those for which the last relay failed.
    failing: HashSet<QueueName>,
    relays: JoinSet<Relayed>,
    give_up: CancellationToken,
}

/// How one relay ended: where to, how long to wait after the next failure, and with what.
type Relayed = (QueueName, Backoff, Result<(), BrokerError>);

/// The queues to which a settlement of `queue` sends by an outbox, as far as is known here.
pub(crate) fn targets<'a>(queue: &'a QueueName, settlement: &'a Settlement) -> impl Iterator<Item = &'a QueueName> {
    settlement.consequences.iter().filter_map(move |consequence| match consequence {
        Consequence::Send { queue: to, message } if to != queue || !message.is_plain() => Some(to),
        _ => None,
    })
}

impl Relay {
    /// `give_up` ends the tries while a target is away.
    pub(crate) fn new(
        broker: &Arc<dyn Broker>,
        served: &Arc<ServedQueue>,
        outage: Outage,
        give_up: &CancellationToken,
    ) -> (Targets, Self) {
        let (sender, targets) = unbounded_channel();
        let relay = Self {
            broker: Arc::clone(broker),
            served: Arc::clone(served),
            outage,
            targets,
            is_closed: false,
            check_at: Some(Instant::now()),
            active: HashMap::new(),
            failing: HashSet::new(),
            relays: JoinSet::new(),
            give_up: give_up.clone(),
        };
        (sender, relay)
    }

    /// Relays to a queue, after a wait.
    fn start(&mut self, to: QueueName, after: Duration, backoff: Backoff) {
        let (broker, from) = (Arc::clone(&self.broker), self.served.queue.clone());
        self.relays.spawn(async move {
            if !after.is_zero() {
                sleep(after).await;
            }
            failpoint::pass("worker.relaying");
            let relayed = match broker.outboxes() {
                Some(outboxes) => caught(outboxes.relay(&from, &to)).await,
                None => Ok(Ok(0)),
            };
            let panicked = |what| Err(BrokerError::unknown(format!("a call panicked: {what}")));
            (to, backoff, relayed.unwrap_or_else(panicked).map(drop))
        });
    }

    fn wanted(&mut self, to: QueueName) {
        match self.active.get_mut(&to) {
            Some(more) => *more = true,
            None => {
                self.active.insert(to.clone(), false);
                self.start(to, Duration::ZERO, Backoff::default());
            }
        }
    }

    fn ended(&mut self, (to, mut backoff, relayed): Relayed) {
        let again = match relayed {
            Ok(()) => {
                backoff.reset();
                self.failing.remove(&to);
                // A target that works does not end the outage of another.
                if self.failing.is_empty() {
                    self.outage.ended();
                }
                self.active.insert(to.clone(), false).unwrap_or_default().then_some(Duration::ZERO)
            }
            Err(error) => {
                self.failing.insert(to.clone());
                self.outage.failed(&error);
                Some(backoff.next())
            }
        };
        // Who stops leaves to others what cannot be stored now.
        match again {
            Some(after) if !self.is_closed => self.start(to, after, backoff),
            Some(Duration::ZERO) => self.start(to, Duration::ZERO, backoff),
            _ => drop(self.active.remove(&to)),
        }
    }

    async fn check(&mut self) {
        let Some(outboxes) = self.broker.outboxes() else { return };
        match outboxes.list_outboxes(&self.served.queue).await {
            Ok(found) => found.into_iter().for_each(|outbox| self.wanted(outbox.to)),
            Err(error) => self.outage.failed(&error),
        }
        // Workers that began together must not check together.
        self.check_at = Some(Instant::now() + CHECK.mul_f64(0.75 + fastrand::f64() / 4.0));
    }
}

impl Service for Relay {
    fn outage(&self) -> &Outage {
        &self.outage
    }

    async fn work(&mut self) {
        if self.broker.outboxes().is_none() {
            return;
        }
        let served = Arc::clone(&self.served);
        while !(self.is_closed && self.relays.is_empty()) {
            tokio::select! {
                to = self.targets.recv(), if !self.is_closed => match to {
                    Some(to) => self.wanted(to),
                    None => self.is_closed = true,
                },
                // Its own errors are caught: only a runtime that ends makes another one.
                Some(Ok(ended)) = self.relays.join_next() => self.ended(ended),
                () = served.orphaned.notified(), if !self.is_closed => self.check().await,
                () = until(self.check_at), if !self.is_closed => self.check().await,
                () = self.give_up.cancelled(), if self.is_closed => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBroker;
    use crate::worker::slots::Slots;
    use crate::{Limits, QueueName};
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_target_that_is_away_is_logged_once_however_often_another_works() {
        let log = Log::default();
        let writer = {
            let log = log.clone();
            move || log.clone()
        };
        let _logging = tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(writer).finish());
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        let [from, away, works] = ["from", "away", "works"].map(|name| name.parse::<QueueName>().unwrap());
        let served = Arc::new(ServedQueue::new(from, Limits::default(), Slots::new(1, None)));
        let (_targets, mut relay) = Relay::new(&broker, &served, Outage::default(), &CancellationToken::new());
        let lines = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap().lines().count();
        for _ in 0..5 {
            relay.ended((away.clone(), Backoff::default(), Err(BrokerError::unavailable("it is away"))));
            relay.ended((works.clone(), Backoff::default(), Ok(())));
        }
        assert_eq!(lines(), 1, "it is away");
        relay.ended((away, Backoff::default(), Ok(())));
        assert_eq!(lines(), 2, "and there again");
    }
}
