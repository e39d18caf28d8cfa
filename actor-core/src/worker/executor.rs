//! Runs one delivery: decode, check, run, decide. It knows no broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

use super::ability;
use super::outcome::{Outcome, Policy, Verdict, decide};
use super::panic::{Caught, catch, caught, shielded};
use super::repeats::Repeats;
use super::run::{self, interrupted};
use super::suspects::{Admission, Suspects};
use super::threads::Threads;
use crate::actor::{Handler, ImplementationDef};
use crate::call::Call;
use crate::context::{Context, RunInfo, States, Stop};
use crate::delivery::Delivery;
use crate::settlement::{self, Settlement};
use crate::wire::{self, Change, Envelope, Undecodable};
use crate::{MessageId, QueueName, trace};

/// What every run of a worker shares.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) implementations: HashMap<&'static str, &'static ImplementationDef>,
    /// What a message that is parked elsewhere may need and find here.
    pub(crate) abilities: Vec<String>,
    /// What was parked here and is not logged yet.
    pub(crate) parked: Repeats,
    pub(crate) states: Arc<States>,
    pub(crate) max_crashes: u32,
    pub(crate) suspects: Suspects,
    /// For sync actors.
    pub(crate) threads: Threads,
    /// The worker's end: nothing is waited for any more.
    pub(crate) closing: CancellationToken,
}

/// A delivery's message, decoded, with what the delivery adds to it.
struct Message<'a> {
    envelope: Envelope<'a>,
    crashes: u32,
    /// Which delivery of the message this is, over all its stored copies.
    token: u64,
}

impl<'a> Message<'a> {
    fn of(delivery: &'a Delivery) -> Result<Self, Undecodable> {
        let envelope = Envelope::decode(&delivery.body)?;
        let before = u64::from(delivery.crashes).saturating_add(delivery.interruptions.into());
        let token = envelope.deliveries.saturating_add(before).saturating_add(1);
        let crashes = envelope.crashes.saturating_add(delivery.crashes);
        Ok(Self { envelope, crashes, token })
    }

    fn change<'b>(&self, attempted: bool, last_error: Option<&'b str>) -> Change<'b> {
        let attempt = self.envelope.attempt.saturating_add(u32::from(attempted));
        Change { attempt, crashes: self.crashes, deliveries: self.token, last_error }
    }
}

impl Executor {
    /// Runs a delivery, and says what is to be settled; `None` where it is no longer ours to settle.
    ///
    /// `now` is the broker's clock. `admission` is the right to run a suspect, where the caller has it.
    pub(crate) async fn run(
        &self,
        queue: &QueueName,
        delivery: &Delivery,
        now: SystemTime,
        stop: &Arc<Stop>,
        admission: Option<Admission>,
    ) -> Option<Settlement> {
        let message = match Message::of(delivery) {
            Ok(message) => message,
            Err(undecodable) => return Some(self.unread(queue, &delivery.body, undecodable)),
        };
        let implementation = self.implementations.get(&*message.envelope.actor).copied();
        // What hears of a run is the program's own code: a panic in it must not keep the message from being
        // settled.
        let span = catch(|| span(queue, &message)).unwrap_or_else(|_| Span::none());
        shielded(|| trace::restore(&span, message.envelope.trace));
        let outcome = if let Some(reason) = stop.reason() {
            // What was claimed at the last moment does not begin.
            interrupted(reason)
        } else if message.crashes >= self.max_crashes {
            Outcome::Poison { crashes: message.crashes }
        } else if message.envelope.expires_at.is_some_and(|at| at <= wire::to_ms(now)) {
            Outcome::Expired
        } else if let Some(implementation) = implementation {
            let alone = self.runs_alone(message.crashes);
            let suspect = message.crashes > 0;
            let admission = admission.or_else(|| if suspect { self.suspects.admit(alone) } else { None });
            if suspect && admission.is_none() {
                Outcome::Deferred
            } else {
                // Held to the end of the run.
                let _admission = admission;
                let run = self.call(implementation, queue, delivery, &message, stop, &span);
                caught(run).await.unwrap_or_else(Outcome::Panicked)
            }
        } else {
            Outcome::UnknownActor
        };
        let policy = policy(&message, implementation);
        let verdict = decide(&outcome, &policy, &mut fastrand::Rng::new());
        let settlement = settlement(&message, &delivery.body, &outcome, verdict);
        if let Some(settlement::Outcome::Park { ability, .. }) =
            settlement.as_ref().map(|settlement| &settlement.outcome)
        {
            shielded(|| self.log_parked(queue, ability, &outcome));
        }
        shielded(move || span.in_scope(|| tell(&outcome, verdict, queue)));
        settlement
    }

    /// Whether a message whose workers died so often runs with no other suspect beside it: its next
    /// crash would dead-letter it.
    fn runs_alone(&self, crashes: u32) -> bool {
        crashes > 0 && crashes.saturating_add(1) >= self.max_crashes
    }

    /// Whether this worker recovers one message at a time: already the second crash dead-letters.
    pub(crate) fn recovers_singly(&self) -> bool {
        self.runs_alone(1)
    }

    /// The admissions of messages that were recovered, for the one that was needed to take them.
    pub(crate) fn readmit(&self, recovered: &[Delivery], entered: Admission) -> Vec<Option<Admission>> {
        let crashes = |delivery: &Delivery| Message::of(delivery).map_or(0, |found| found.crashes);
        let alone = |delivery: &Delivery| self.runs_alone(crashes(delivery));
        if let [only] = recovered {
            if !alone(only) {
                return vec![Some(entered)];
            }
            drop(entered);
            return vec![self.suspects.admit(true)];
        }
        // `entered` is held until all are admitted, so that none comes to run alone in between.
        recovered.iter().map(|delivery| self.suspects.admit(alone(delivery))).collect()
    }

    /// What becomes of a message that this version cannot read: it is never changed.
    fn unread(&self, queue: &QueueName, body: &Bytes, undecodable: Undecodable) -> Settlement {
        let (outcome, ability) = match undecodable {
            Undecodable::Invalid(what) => (Outcome::Undecodable(what), None),
            Undecodable::Newer(version) => (Outcome::NewerVersion(version), Some(ability::of_format(version))),
        };
        let (id, body) = (wire::id(body), body.clone());
        // What the message itself says of its attempts cannot be trusted to be where this version expects it.
        let policy = Policy {
            max_retries: 0,
            attempts: 0,
            crashes: 0,
            deliveries: 1,
            min_backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
        };
        let verdict = decide(&outcome, &policy, &mut fastrand::Rng::new());
        shielded(|| tell(&outcome, verdict, queue));
        match (verdict, ability) {
            (Verdict::Park { after }, Some(ability)) => {
                shielded(|| self.log_parked(queue, &ability, &outcome));
                let (id, priority) = (id.unwrap_or_else(MessageId::new), wire::priority(&body));
                settlement::Outcome::Park { id, priority, body, after, ability }
            }
            _ => settlement::Outcome::DeadLetter { id, body, reason: outcome.text() },
        }
        .into()
    }

    /// Logs the first of those that are parked alike, and later how many more there were.
    fn log_parked(&self, queue: &QueueName, ability: &str, outcome: &Outcome) {
        if let Some(count) = self.parked.note(queue, ability) {
            let reason = outcome.told();
            tracing::warn!(%queue, ability, count, reason, "messages parked: no actor here can run them");
        }
    }

    async fn call(
        &self,
        implementation: &'static ImplementationDef,
        queue: &QueueName,
        delivery: &Delivery,
        message: &Message<'_>,
        stop: &Arc<Stop>,
        span: &Span,
    ) -> Outcome {
        let envelope = &message.envelope;
        let info = RunInfo {
            id: envelope.id,
            actor: implementation.actor.name,
            queue: queue.clone(),
            attempt: envelope.attempt.saturating_add(1),
            crashes: message.crashes,
            token: message.token,
            trace: envelope.trace,
        };
        let context = Context::new(info, Arc::clone(&self.states), Arc::clone(stop));
        let args = delivery.body.slice_ref(envelope.args.as_bytes());
        let limit = match envelope.time_limit_ms {
            Some(0) => None,
            Some(ms) => Some(Duration::from_millis(ms)),
            None => implementation.actor.options.time_limit,
        };
        let call = Call::new(args, context.clone());
        match implementation.handler {
            Handler::Async(run) => {
                let running = catch(|| run(call));
                match running {
                    Ok(running) => {
                        let running = trace::carrying(envelope.trace, Caught::new(running));
                        run::on_the_runtime(running, &context, limit, stop).instrument(span.clone()).await
                    }
                    Err(what) => Outcome::Panicked(what),
                }
            }
            Handler::Blocking(run) => {
                let (inner, trace) = (span.clone(), envelope.trace);
                let body = move || {
                    catch(move || inner.in_scope(|| trace::carrying_sync(trace, || catch(|| run(call))))).flatten()
                };
                #[cfg(feature = "testing")]
                let body = crate::testing::carry(body);
                let running = self.threads.run(body);
                run::on_a_thread(running, &context, limit, stop, &self.closing).instrument(span.clone()).await
            }
        }
    }
}

fn span(queue: &QueueName, message: &Message<'_>) -> Span {
    tracing::info_span!(
        "actor.run",
        actor = %message.envelope.actor,
        queue = %queue,
        id = %message.envelope.id,
        attempt = message.envelope.attempt.saturating_add(1),
        crashes = message.crashes,
        trace = message.envelope.trace.map(field::display),
    )
}

fn policy(message: &Message<'_>, implementation: Option<&'static ImplementationDef>) -> Policy {
    let options = implementation.map_or(crate::actor::Options::DEFAULT, |found| found.actor.options);
    let (min_backoff, max_backoff) = match message.envelope.backoff {
        Some(backoff) => (Duration::from_millis(backoff.min_ms), Duration::from_millis(backoff.max_ms)),
        None => (options.min_backoff, options.max_backoff),
    };
    Policy {
        max_retries: message.envelope.max_retries.unwrap_or(options.max_retries),
        attempts: message.envelope.attempt,
        crashes: message.crashes,
        deliveries: message.token,
        min_backoff,
        max_backoff,
    }
}

fn settlement(message: &Message<'_>, body: &Bytes, ended: &Outcome, verdict: Verdict) -> Option<Settlement> {
    use settlement::Outcome;
    let (id, priority) = (message.envelope.id, message.envelope.priority.unwrap_or_default());
    let outcome = match verdict {
        Verdict::Done => Outcome::Done,
        Verdict::Retry { after } => {
            let error = ended.text();
            let body = wire::rewrite(body, &message.change(true, Some(&error)));
            Outcome::Reschedule { id, priority, body, after }
        }
        Verdict::Postpone { after } => {
            Outcome::Reschedule { id, priority, body: wire::rewrite(body, &message.change(false, None)), after }
        }
        Verdict::Park { after } => {
            let body = wire::rewrite(body, &message.change(false, None));
            match ability::of_actor(&message.envelope.actor) {
                Some(ability) => Outcome::Park { id, priority, body, after, ability },
                None => Outcome::Reschedule { id, priority, body, after },
            }
        }
        Verdict::DeadLetter { attempted } => {
            let reason = ended.text();
            let last_error = attempted.then_some(&*reason);
            let body = wire::rewrite(body, &message.change(attempted, last_error));
            Outcome::DeadLetter { id: Some(id), body, reason }
        }
        Verdict::Release => Outcome::Release { body: wire::rewrite(body, &message.change(false, None)) },
        Verdict::Leave => return None,
    };
    Some(outcome.into())
}

/// The settlement that releases a message which has not started.
pub(crate) fn release(delivery: &Delivery) -> Settlement {
    let body = match Message::of(delivery) {
        Ok(message) => wire::rewrite(&delivery.body, &message.change(false, None)),
        Err(_) => delivery.body.clone(),
    };
    settlement::Outcome::Release { body }.into()
}

/// Reports how a delivery ended. The names stand in `docs/observability.md`.
fn tell(outcome: &Outcome, verdict: Verdict, queue: &QueueName) {
    match verdict {
        Verdict::Done => tracing::debug!("message done"),
        Verdict::Retry { after } => tracing::warn!(error = %outcome.told(), ?after, "message failed, will be retried"),
        // As soon as nothing else is suspected it runs, here or elsewhere.
        Verdict::Postpone { after } => {
            tracing::debug!(%queue, reason = %outcome.told(), ?after, "message left for another worker");
        }
        // They are logged together, by how many there are.
        Verdict::Park { after } => tracing::debug!(%queue, reason = %outcome.told(), ?after, "message parked"),
        Verdict::DeadLetter { .. } => tracing::error!(%queue, reason = %outcome.told(), "message dead-lettered"),
        // Said once for all of them, where the thread was refused.
        Verdict::Release if matches!(outcome, Outcome::NoThread) => tracing::debug!("message released"),
        Verdict::Release => tracing::info!("message released"),
        Verdict::Leave => tracing::warn!("message left to the worker that holds it now"),
    }
}
