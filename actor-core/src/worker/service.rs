//! What works for a session beside the runs, and the place where all of it is started.

use std::sync::Arc;

use tokio::time::sleep;

#[cfg(feature = "cron")]
use super::cron::Cron;
use super::engine::Engine;
use super::fetch::Fetch;
use super::gather::{Gather, Gathering};
use super::outage::{Backoff, Outage};
use super::panic::{caught, shielded};
use super::progress::Progress;
use super::queue_session::{QueueSession, ServedQueue};
use super::recover::Recover;
use super::relay::Relay;
use super::session::Session;
use super::settle::Settler;
use super::unpark::Unpark;
use crate::BrokerError;
use crate::delivery::Consumer;

/// Something that works in a task of its own until its session ends.
pub(crate) trait Service: Send {
    /// What it knows of the broker's absence.
    fn outage(&self) -> &Outage;

    /// Works until its end. Called again after a panic: whatever it must not lose by one stands in `self`.
    fn work(&mut self) -> impl Future<Output = ()> + Send;
}

/// Drives a service to its end. A panicking broker call is treated as unanswered and retried, and a subscriber of
/// `tracing` that panics ends nothing.
pub(crate) async fn supervise(mut service: impl Service) {
    let mut backoff = Backoff::default();
    while let Err(what) = caught(service.work()).await {
        let error = BrokerError::unknown(format!("a call panicked: {what}"));
        shielded(|| service.outage().failed(&error));
        sleep(backoff.next()).await;
    }
}

/// Starts the services of a session whose lease is live. Its heartbeat runs already, on a thread of its own.
pub(crate) fn start(session: &Session, engine: &Engine) {
    let (pulse, executor) = (Arc::clone(&engine.pulse), Arc::clone(&engine.executor));
    let answering = async move {
        let listening = pulse.listen();
        loop {
            listening.answer().await;
            shielded(|| executor.repeats.log(false));
        }
    };
    session.services.spawn(session.halt.clone().run_until_cancelled_owned(answering));
    if engine.broker.states().is_some() {
        let outage = Outage::new(&engine.absence, None, Some(&engine.pulse));
        // It goes on while a stopping worker waits for its runs.
        engine.settlers.spawn(supervise(Progress::new(&session.stop, outage)));
    }
    for served in &engine.queues {
        serve(session, engine, served);
    }
}

fn serve(session: &Session, engine: &Engine, served: &Arc<ServedQueue>) {
    let consumer = Consumer::new(session.worker.clone(), served.queue.clone()).limited(served.limits);
    let outage = || Outage::new(&engine.absence, Some(&served.queue), Some(&engine.pulse));
    let (broker, give_up) = (&engine.broker, &engine.give_up);
    let (targets, relay) = Relay::new(broker, served, outage(), give_up);
    engine.settlers.spawn(supervise(relay));
    let (settlements, settler) = Settler::new(broker, consumer.clone(), served, targets, outage(), give_up);
    engine.settlers.spawn(supervise(settler));
    let gathering = Gathering::new();
    let at_queue = || {
        Arc::new(QueueSession {
            broker: Arc::clone(broker),
            consumer: consumer.clone(),
            served: Arc::clone(served),
            executor: Arc::clone(&engine.executor),
            outage: outage(),
            halt: session.halt.clone(),
            stop: Arc::clone(&session.stop),
            settlements: settlements.clone(),
            gathering: Arc::clone(&gathering),
            runs: engine.runs.clone(),
        })
    };
    spawn(session, Recover { session: at_queue(), status: session.status(), lease: engine.lease });
    spawn(session, Unpark { session: at_queue(), status: session.status() });
    #[cfg(feature = "cron")]
    if engine.broker.schedules().is_some() {
        spawn(session, Cron::new(at_queue()));
    }
    spawn(session, Fetch::new(at_queue()));
    if engine.executor.implementations.values().any(|found| found.batch.is_some()) {
        spawn(session, Gather { session: at_queue() });
    }
}

/// Spawns a service that ends with its session: by itself, or dropped where the broker does not answer.
fn spawn(session: &Session, service: impl Service + 'static) {
    session.services.spawn(session.leave.clone().run_until_cancelled_owned(supervise(service)));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Logs {
        outage: Outage,
        works: u32,
    }

    impl Service for Logs {
        fn outage(&self) -> &Outage {
            &self.outage
        }

        async fn work(&mut self) {
            self.works += 1;
            Outage::default().failed(&BrokerError::unavailable("it is away"));
            assert_eq!(self.works, 3, "the terminal is open again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_terminal_ends_no_service() {
        let closed = std::sync::atomic::AtomicU32::new(2);
        let terminal = move || {
            use std::sync::atomic::Ordering;
            let left = closed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "the terminal is closed");
            std::io::empty()
        };
        let _listening = tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(terminal).finish());
        supervise(Logs { outage: Outage::default(), works: 0 }).await;
    }
}
