//! Runs one delivery, step by step: decode, admit, call, judge; its caller settles. It knows no broker.
//!
//! What belongs to an actor that takes several messages at once comes as far as its admission, and is handed back.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

use super::ability;
use super::arrange::Arrangements;
use super::begin::{Begin, begins};
use super::gather::Belongs;
use super::message::Message;
use super::outcome::{Outcome, Policy, Verdict, decide};
use super::panic::{self, catch, shielded};
use super::repeats::Repeats;
use super::report;
use super::result;
use super::run::{Run, SyncRuns, interrupted};
use super::stall;
use super::suspects::{Admission, Suspects};
use super::threads::Threads;
use crate::actor::ImplementationDef;
use crate::call::{RunError, RunResult};
use crate::context::{Context, Follow, RunInfo, States, Stop};
use crate::delivery::Delivery;
use crate::layer::Layers;
use crate::settlement::{self, Consequence, Settlement};
use crate::wire::{self, Parked, Undecodable};
use crate::{MessageId, QueueName, trace};

/// What became of a delivery.
pub(crate) enum Ran {
    /// What is to be settled; `None` where it is no longer this worker's.
    Ended(Option<Settlement>),
    /// Its actor takes several messages at once.
    Belongs(Box<Belongs>),
}

/// What every run of a worker shares.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) implementations: HashMap<&'static str, &'static ImplementationDef>,
    /// What a message that is parked elsewhere may need and find here.
    pub(crate) abilities: Vec<String>,
    pub(crate) states: Arc<States>,
    pub(crate) max_crashes: u32,
    pub(crate) park_timeout: Duration,
    arrangements: Arrangements,
    pub(crate) suspects: Suspects,
    pub(crate) layers: Layers,
    pub(crate) sync: Arc<SyncRuns>,
    /// What happened here too often to be logged each time.
    pub(crate) repeats: Repeats,
}

impl Executor {
    pub(crate) fn new(
        implementations: HashMap<&'static str, &'static ImplementationDef>,
        states: States,
        max_crashes: u32,
        park_timeout: Duration,
        layers: Layers,
        threads: Threads,
    ) -> Self {
        Self {
            abilities: ability::of_worker(implementations.values().map(|found| found.actor)),
            implementations,
            states: Arc::new(states),
            max_crashes,
            park_timeout,
            arrangements: Arrangements::default(),
            suspects: Suspects::new(),
            layers,
            sync: Arc::new(SyncRuns { threads, closing: CancellationToken::new() }),
            repeats: Repeats::default(),
        }
    }

    /// Runs a delivery, unless it belongs in a batch.
    ///
    /// `now` reads the broker's clock. `begin` comes right before the run of what is unique until then. `admission` is
    /// the right to run a suspect, where the caller has it.
    pub(crate) async fn run(
        &self,
        queue: &QueueName,
        delivery: &Delivery,
        now: &(dyn Fn() -> SystemTime + Sync),
        begin: &Begin<'_>,
        stop: &Arc<Stop>,
        admission: Option<Admission>,
    ) -> Ran {
        let message = match Message::decode(delivery) {
            Ok(message) => message,
            Err(undecodable) => return Ran::Ended(Some(self.judge_undecodable(queue, &delivery.body, undecodable))),
        };
        let implementation = self.implementations.get(&*message.envelope.actor).copied();
        let batch = implementation.and_then(|found| found.batch);
        // Of several messages at once there is one span. The program's own subscriber may panic.
        let span = if batch.is_some() {
            Span::none()
        } else {
            catch(|| span(queue, &message)).unwrap_or_else(|_| Span::none())
        };
        let mut follow = None;
        let outcome = match self.admit(queue, &message, implementation, now, stop, admission) {
            Ok((implementation, args, admission)) => match batch {
                None => {
                    // It is held to the end of the run.
                    let _admission = admission;
                    match begun(&message, delivery, begin).await {
                        Ok(()) => {
                            let (result, follows) = self.call(implementation, args, queue, &message, stop, &span).await;
                            follow = follows;
                            result.into()
                        }
                        Err(error) => Outcome::Failed(error),
                    }
                }
                Some(batch) => match Self::belongs(&message, implementation, batch, &args, admission) {
                    Ok(belongs) => return Ran::Belongs(belongs),
                    Err(error) => Outcome::Failed(error),
                },
            },
            Err(outcome) => outcome,
        };
        Ran::Ended(self.end(queue, &message, implementation, &outcome, follow, now, stop, &span))
    }

    /// What may run now, with its arguments, and the right to run it where it is a suspect; else how its delivery ends.
    pub(super) fn admit(
        &self,
        queue: &QueueName,
        message: &Message<'_>,
        implementation: Option<&'static ImplementationDef>,
        now: &dyn Fn() -> SystemTime,
        stop: &Stop,
        admission: Option<Admission>,
    ) -> Result<(&'static ImplementationDef, Bytes, Option<Admission>), Outcome> {
        let crashes = message.crashes;
        if let Some(reason) = stop.reason() {
            // What was claimed at the last moment does not begin.
            return Err(Outcome::Failed(interrupted(reason)));
        }
        if message.is_cancelled(queue, stop) {
            return Err(Outcome::Cancelled);
        }
        if crashes >= self.max_crashes {
            return Err(Outcome::Poison { crashes });
        }
        if message.envelope.expires_at.is_some_and(|at| at <= wire::to_ms(now())) {
            return Err(Outcome::Expired);
        }
        let implementation = implementation.ok_or(Outcome::UnknownActor)?;
        let args = self.arrangements.arrange(message, implementation.actor).map_err(Outcome::Failed)?;
        if crashes == 0 {
            return Ok((implementation, args, admission));
        }
        let admission = admission.or_else(|| self.suspects.admit(self.isolates(crashes)));
        admission.map(|admission| (implementation, args, Some(admission))).ok_or(Outcome::Deferred)
    }

    /// Calls the actor's body, within the worker's layers. Returns also what follows from it.
    async fn call(
        &self,
        implementation: &'static ImplementationDef,
        args: Bytes,
        queue: &QueueName,
        message: &Message<'_>,
        stop: &Arc<Stop>,
        span: &Span,
    ) -> (RunResult, Option<Box<Follow>>) {
        let limit = message.time_limit(implementation);
        let info = Self::run_info(message, implementation, queue);
        let context = Context::new(info, Arc::clone(&self.states), Arc::clone(stop));
        let result = self.run_within(implementation, context.clone(), limit, args, stop, span).await;
        (result, context.take_follow())
    }

    /// What a run of a message knows of itself.
    pub(super) fn run_info(
        message: &Message<'_>,
        implementation: &'static ImplementationDef,
        queue: &QueueName,
    ) -> RunInfo {
        let limit = message.time_limit(implementation);
        RunInfo {
            id: message.envelope.id,
            actor: implementation.actor.name,
            queue: queue.clone(),
            attempt: message.attempt(),
            crashes: message.crashes,
            token: message.token,
            trace: message.envelope.trace,
            headers: message.envelope.headers.clone(),
            tick: message.envelope.tick.as_ref().map(|tick| (tick.schedule.as_ref().into(), wire::to_time(tick.at))),
            retries_left: message.may_retry(implementation),
            sent_at: wire::to_time(message.envelope.sent_at),
            deadline: limit.and_then(|limit| message.began.checked_add(limit)),
            receipt: Some(message.receipt.clone()),
        }
    }

    pub(super) async fn run_within(
        &self,
        implementation: &'static ImplementationDef,
        context: Context,
        limit: Option<Duration>,
        args: Bytes,
        stop: &Arc<Stop>,
        span: &Span,
    ) -> RunResult {
        let (actor, id) = (implementation.actor, context.id());
        let run = Run { implementation, context, limit, stop: Arc::clone(stop), sync: Arc::clone(&self.sync) };
        let mut run = pin!(Some(run.within(&self.layers, args).instrument(span.clone())));
        let ended = poll_fn(|cx| {
            let run = run.as_mut().as_pin_mut().expect("it is there until it has ended");
            stall::noted(actor, id, || panic::poll(run, cx))
        });
        let ended = ended.await;
        // With it ends its hold of the span, which the subscriber may see.
        shielded(|| run.set(None));
        ended.unwrap_or_else(|panic| Err(RunError::Panicked(panic)))
    }

    /// Whether a message whose workers died so often runs with no other suspect beside it: its next
    /// crash would dead-letter it.
    fn isolates(&self, crashes: u32) -> bool {
        crashes > 0 && crashes.saturating_add(1) >= self.max_crashes
    }

    /// Whether this worker recovers one message at a time: already the second crash dead-letters.
    pub(crate) fn recovers_singly(&self) -> bool {
        self.isolates(1)
    }

    /// The admissions of messages that were recovered, for the one that was needed to take them.
    pub(crate) fn readmit(&self, recovered: &[Delivery], entered: Admission) -> Vec<Option<Admission>> {
        let isolates = |delivery: &Delivery| self.isolates(Message::decode(delivery).map_or(0, |found| found.crashes));
        if let [only] = recovered {
            if !isolates(only) {
                return vec![Some(entered)];
            }
            drop(entered);
            return vec![self.suspects.admit(true)];
        }
        // `entered` is held until all are admitted, so that none is isolated in between.
        recovered.iter().map(|delivery| self.suspects.admit(isolates(delivery))).collect()
    }

    /// What becomes of a message that this version cannot read: it is never changed.
    pub(super) fn judge_undecodable(&self, queue: &QueueName, body: &Bytes, undecodable: Undecodable) -> Settlement {
        let (outcome, ability) = match undecodable {
            Undecodable::Invalid(what) => (Outcome::Undecodable(what), None),
            Undecodable::Newer(version) => (Outcome::NewerVersion(version), Some(ability::of_format(version))),
        };
        // The message may count its attempts where this version does not expect it. It is not changed, so that
        // nobody knows since when it waits.
        let policy = Policy { park_left: Duration::MAX, ..Policy::default() };
        let verdict = decide(&outcome, &policy, &mut fastrand::Rng::new());
        let (id, body) = (wire::id(body), body.clone());
        shielded(|| report::log_undecodable(&outcome, verdict, queue, id, ability.as_deref(), &self.repeats));
        match (verdict, ability) {
            (Verdict::Park { after }, Some(ability)) => {
                let (id, priority) = (id.unwrap_or_else(MessageId::new), wire::priority(&body));
                settlement::Outcome::Park { id, priority, body, after, ability }
            }
            _ => settlement::Outcome::DeadLetter { id, body, reason: outcome.text() },
        }
        .into()
    }

    /// The settlement that a verdict comes to; `None` where the message is no longer this worker's.
    pub(super) fn judge(
        &self,
        message: &Message<'_>,
        implementation: Option<&'static ImplementationDef>,
        ended: &Outcome,
        verdict: Verdict,
        follow: Option<Box<Follow>>,
        now: &dyn Fn() -> SystemTime,
    ) -> Option<Settlement> {
        use settlement::Outcome;
        let (id, priority) = (message.envelope.id, message.envelope.priority.unwrap_or_default());
        let error = ended.is_failure().then(|| ended.text());
        let body = |parked| message.rewritten(error.as_deref(), parked);
        let outcome = match verdict {
            Verdict::Done => Outcome::Done,
            Verdict::Cancel => Outcome::Cancelled { id },
            Verdict::Reschedule { after } => Outcome::Reschedule { id, priority, body: body(None), after },
            Verdict::Limit { after } => Outcome::Limited { id, priority, body: body(None), after },
            Verdict::Park { after } => {
                let since = wire::to_ms(message.parked_since(now));
                let body = body(Some(Parked { since, why: ended.text().into() }));
                match ability::lacked(ended, &message.envelope) {
                    Some(ability) => Outcome::Park { id, priority, body, after, ability },
                    None => Outcome::Reschedule { id, priority, body, after },
                }
            }
            Verdict::DeadLetter { .. } => {
                let parked = message.envelope.parked.clone().filter(|_| !ended.is_failure());
                Outcome::DeadLetter { id: Some(id), body: body(parked), reason: self.reason(ended) }
            }
            Verdict::Release => Outcome::Release { body: body(None) },
            Verdict::Leave => return None,
        };
        let ends = outcome.is_end();
        let mut settlement = Settlement::from(outcome);
        let keep = implementation.and_then(|found| found.actor.options.results).filter(|_| ends);
        let output = follow.as_ref().and_then(|follow| follow.output());
        let kept = keep.map(|keep| result::kept(message, &settlement.outcome, ended, output, keep, now()));
        if let Some(follow) = follow {
            settlement.consequences = follow.of(id, &settlement.outcome);
        }
        settlement.consequences.extend(kept);
        if ends && message.envelope.tick.as_ref().is_some_and(|tick| tick.skip) {
            settlement.consequences.push(Consequence::EndTick(id));
        }
        Some(settlement)
    }

    /// Why a message becomes a dead letter.
    fn reason(&self, ended: &Outcome) -> String {
        let text = ended.text();
        if ended.is_for_others() { format!("no worker could run it for {:?}: {text}", self.park_timeout) } else { text }
    }
}

/// Has the storage note that the run begins, where the message holds a key until then.
async fn begun(message: &Message<'_>, delivery: &Delivery, begin: &Begin<'_>) -> Result<(), RunError> {
    if !begins(message) {
        return Ok(());
    }
    begin(vec![delivery.receipt.clone()]).await.pop().unwrap_or(Err(RunError::LeaseLost))
}

fn span(queue: &QueueName, message: &Message<'_>) -> Span {
    let span = tracing::info_span!(
        "actor.run",
        actor = %message.envelope.actor,
        queue = %queue,
        id = %message.envelope.id,
        attempt = message.attempt(),
        crashes = message.crashes,
        trace = message.envelope.trace.map(field::display),
    );
    trace::restore(&span, message.envelope.trace);
    span
}
