//! Fires the schedules of a queue that are due, and says which of them this worker declares.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::outage::{Backoff, Outage};
use super::panic::{catch, shielded};
use super::queue_session::QueueSession;
use super::service::Service;
use crate::delivery::Wait;
use crate::schedule::{self, Declared, NewSchedule, Schedules};
use crate::{BrokerError, QueueName, failpoint};

/// How many schedules are asked for at once.
const AT_ONCE: usize = 64;

pub(super) struct Cron {
    session: Arc<QueueSession>,
    /// What this worker declares for its queue.
    declared: Vec<NewSchedule>,
    /// Whether it is stored.
    is_stored: bool,
    /// Whether the queue has any schedule, as far as is known.
    any: bool,
    /// When to say again what is declared.
    refresh_at: Instant,
}

impl Cron {
    pub(super) fn new(session: Arc<QueueSession>) -> Self {
        let mut declared = Vec::new();
        for found in session.executor.implementations.values() {
            let def = found.actor;
            if def.queue.name() != session.served.queue.as_str() {
                continue;
            }
            // The program's own hooks of `on_send` see it.
            let why = match catch(|| schedule::declared(def, &*session.broker)) {
                Ok(None) => continue,
                Ok(Some(Ok(schedule))) => {
                    declared.push(schedule);
                    continue;
                }
                Ok(Some(Err(error))) => error.to_string(),
                Err(panic) => panic,
            };
            shielded(|| {
                tracing::error!(queue = def.queue.name(), schedule = def.name, error = why, "schedule not declared");
            });
        }
        Self { session, declared, is_stored: false, any: false, refresh_at: Instant::now() }
    }

    /// Says what is declared where it is time for that, waits for what is due, and fires it.
    async fn step(&mut self, schedules: &dyn Schedules) -> Result<(), BrokerError> {
        let queue = &self.session.served.queue;
        if self.refresh_at <= Instant::now() && (self.any || !self.declared.is_empty()) {
            log(queue, schedules.declare(queue, &self.declared, !self.is_stored).await?);
            self.is_stored = true;
            // Workers that began together must not ask together.
            self.refresh_at = Instant::now() + Declared::REFRESH.mul_f64(0.75 + fastrand::f64() / 4.0);
        }
        // While there is nothing to say, what others store ends the waiting.
        let rest = self.refresh_at.saturating_duration_since(Instant::now());
        let limit = if rest.is_zero() { Declared::REFRESH } else { rest };
        let wait = Wait::until(limit, &self.session.halt);
        let due = schedules.due(queue, AT_ONCE, &wait).await?;
        self.any = due.any;
        if !due.schedules.is_empty() && !self.session.halt.is_cancelled() {
            failpoint::pass("worker.tick_due");
            schedule::fire(schedules, queue, &due).await?;
            failpoint::pass("worker.tick_fired");
        }
        Ok(())
    }
}

impl Service for Cron {
    fn outage(&self) -> &Outage {
        &self.session.outage
    }

    async fn work(&mut self) {
        let broker = Arc::clone(&self.session.broker);
        let Some(schedules) = broker.schedules() else { return };
        let halt = self.session.halt.clone();
        let mut backoff = Backoff::default();
        while !halt.is_cancelled() {
            let pause = match self.step(schedules).await {
                Ok(()) => {
                    self.session.outage.ended();
                    backoff.reset();
                    continue;
                }
                Err(error) => {
                    self.session.outage.failed(&error);
                    backoff.next()
                }
            };
            halt.run_until_cancelled(sleep(pause.max(AGAIN))).await;
        }
    }
}

/// How soon to ask again where the broker could not do it, at least.
const AGAIN: Duration = Duration::from_millis(50);

fn log(queue: &QueueName, Declared { undeclared, removed, .. }: Declared) {
    if !undeclared.is_empty() {
        tracing::warn!(%queue, schedules = ?undeclared, "schedules undeclared: no worker declares them, and they fire no more");
    }
    if !removed.is_empty() {
        tracing::warn!(%queue, schedules = ?removed, "schedules removed: no worker has declared them for a day");
    }
}
