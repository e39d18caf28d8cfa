//! Runs several messages at once, in one call of their actor, and judges each.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tracing::{Span, field};

use super::begin::{Begin, begins};
use super::executor::Executor;
use super::gather::{Belongs, Gathered};
use super::message::Message;
use super::on_dead_letter;
use super::outcome::{Outcome, Policy, decide};
use super::panic::{catch, shielded};
use super::report::Report;
use super::suspects::Admission;
use crate::actor::ImplementationDef;
use crate::call::{BatchDef, Item, RunError, RunResult};
use crate::context::{Batch, Context, Follow, RunInfo, Stop};
use crate::delivery::Receipt;
use crate::headers::Headers;
use crate::settlement::Settlement;
use crate::{BatchContext, QueueName, trace};

/// How the messages of a run ended.
enum Ended {
    All(Outcome),
    Each(Vec<Outcome>),
}

impl Ended {
    /// A result that has not one outcome for each is that of all: a layer brought it from elsewhere.
    fn of(result: RunResult, count: usize) -> Self {
        match result {
            Err(RunError::Batch(error)) if error.outcomes().count() == count => {
                let outcome = |each: Result<(), _>| each.map_err(RunError::Failed).into();
                Self::Each(error.into_outcomes().into_iter().map(outcome).collect())
            }
            other => Self::All(other.into()),
        }
    }

    fn of_item(&self, index: usize) -> &Outcome {
        match self {
            Self::All(outcome) => outcome,
            Self::Each(outcomes) => &outcomes[index],
        }
    }
}

impl Executor {
    /// What a message has to do with others of its actor, which takes several at once.
    ///
    /// Nobody else is harmed by what may well fail again and cost more than an attempt: a suspect, and a message whose
    /// last attempt this is, run in a batch of their own.
    pub(super) fn belongs(
        message: &Message<'_>,
        implementation: &'static ImplementationDef,
        batch: BatchDef,
        args: &[u8],
        admission: Option<Admission>,
    ) -> Result<Box<Belongs>, RunError> {
        // By the program's own code.
        let item = catch(|| (batch.decode)(args)).unwrap_or_else(|panic| Err(RunError::Panicked(panic)))?;
        let (retried, is_last) = (message.envelope.attempt > 0, !message.may_retry(implementation));
        let alone = message.crashes > 0 || (retried && is_last);
        let key = message.envelope.key.as_deref().map(str::to_owned);
        let id = message.envelope.id;
        Ok(Box::new(Belongs { implementation, batch, id, argument: item.into(), key, alone, admission }))
    }

    /// Runs messages of one actor at once. Returns what is to be settled; `None` where it is no longer this worker's.
    pub(crate) async fn run_batch(
        &self,
        queue: &QueueName,
        gathered: Vec<Gathered>,
        now: &(dyn Fn() -> SystemTime + Sync),
        begin: &Begin<'_>,
        stop: &Arc<Stop>,
    ) -> Vec<(Receipt, Option<Settlement>)> {
        let mut belongs = Vec::with_capacity(gathered.len());
        let mut deliveries = Vec::with_capacity(gathered.len());
        for one in gathered {
            belongs.push(one.belongs);
            deliveries.push(one.delivery);
        }
        let (mut entered, mut items, mut settlements) = (Vec::new(), Vec::new(), Vec::new());
        let Some(implementation) = belongs.first().map(|first| first.implementation) else { return settlements };
        let key = belongs.first_mut().and_then(|first| first.key.take());
        // Suspects are held to be such to the end of the run.
        let mut admissions = Vec::new();
        for (delivery, belongs) in deliveries.iter().zip(belongs) {
            let message = match Message::decode(delivery) {
                Ok(message) => message,
                Err(undecodable) => {
                    let settlement = self.judge_undecodable(queue, &delivery.body, undecodable);
                    settlements.push((delivery.receipt.clone(), Some(settlement)));
                    continue;
                }
            };
            let admitted = self.admit(queue, &message, Some(implementation), now, stop, belongs.admission);
            match admitted {
                Ok((_, _, admission)) => {
                    admissions.extend(admission);
                    items.push(belongs.argument.into_item());
                    entered.push((delivery, message));
                }
                Err(outcome) => {
                    let settlement =
                        self.end(queue, &message, Some(implementation), &outcome, None, now, stop, &Span::none());
                    settlements.push((delivery.receipt.clone(), settlement));
                }
            }
        }
        let holding = entered.iter().filter(|(_, message)| begins(message));
        let holding: Vec<Receipt> = holding.map(|(delivery, _)| delivery.receipt.clone()).collect();
        if !holding.is_empty() {
            let mut begun = begin(holding).await.into_iter();
            let all = std::mem::take(&mut entered).into_iter().zip(std::mem::take(&mut items));
            for ((delivery, message), item) in all {
                if begins(&message)
                    && let Err(error) = begun.next().unwrap_or(Err(RunError::LeaseLost))
                {
                    let outcome = Outcome::Failed(error);
                    let settlement =
                        self.end(queue, &message, Some(implementation), &outcome, None, now, stop, &Span::none());
                    settlements.push((delivery.receipt.clone(), settlement));
                    continue;
                }
                entered.push((delivery, message));
                items.push(item);
            }
        }
        if entered.is_empty() {
            return settlements;
        }
        let messages: Vec<&Message<'_>> = entered.iter().map(|(_, message)| message).collect();
        // The program's own subscriber may panic.
        let span = catch(|| span(queue, implementation, &messages)).unwrap_or_else(|_| Span::none());
        let (context, limit) = self.batch_context(queue, implementation, &messages, key, items, stop);
        let items = context.batch();
        let result = self.run_within(implementation, context, limit, Bytes::new(), stop, &span).await;
        let mut follows = items.iter().flat_map(BatchContext::items).map(Context::take_follow);
        let ended = Ended::of(result, entered.len());
        for (index, (delivery, message)) in entered.iter().enumerate() {
            let (outcome, follow) = (ended.of_item(index), follows.next().flatten());
            let settlement = self.end(queue, message, Some(implementation), outcome, follow, now, stop, &span);
            settlements.push((delivery.receipt.clone(), settlement));
        }
        settlements
    }

    fn batch_context(
        &self,
        queue: &QueueName,
        implementation: &'static ImplementationDef,
        messages: &[&Message<'_>],
        key: Option<String>,
        arguments: Vec<Item>,
        stop: &Arc<Stop>,
    ) -> (Context, Option<Duration>) {
        let limit = messages.iter().filter_map(|message| message.time_limit(implementation)).min();
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let info = |message: &Message<'_>| RunInfo { deadline, ..Self::run_info(message, implementation, queue) };
        let context = |message: &&Message<'_>| Context::new(info(message), Arc::clone(&self.states), Arc::clone(stop));
        let items = messages.iter().map(context).collect();
        let whole = RunInfo { trace: common_trace(messages), headers: common_headers(messages), ..info(messages[0]) };
        let batch = Batch::new(items, key, arguments);
        (BatchContext::new(whole, Arc::clone(&self.states), Arc::clone(stop), batch).whole(), limit)
    }

    /// Decides what follows from a message's outcome, and logs it.
    #[allow(clippy::too_many_arguments)] // Each is a thing of its own.
    pub(super) fn end(
        &self,
        queue: &QueueName,
        message: &Message<'_>,
        implementation: Option<&'static ImplementationDef>,
        outcome: &Outcome,
        follow: Option<Box<Follow>>,
        now: &(dyn Fn() -> SystemTime + Sync),
        stop: &Stop,
        span: &Span,
    ) -> Option<Settlement> {
        let cancelled = message.is_cancelled(queue, stop);
        let policy = Policy { cancelled, ..message.policy(implementation, now, self.park_timeout) };
        let verdict = decide(outcome, &policy, &mut fastrand::Rng::new());
        let mut settlement = self.judge(message, implementation, outcome, verdict, follow, now);
        if let (Some(settlement), true) = (&mut settlement, message.envelope.cost.is_some()) {
            settlement.ran = message.began.elapsed();
        }
        if let (Some(settlement), Some(broker)) = (&mut settlement, stop.broker()) {
            let actor = implementation.map(|found| found.actor);
            on_dead_letter::follow(message, queue, actor, outcome.is_failure(), broker, settlement);
        }
        let in_batch = implementation.is_some_and(|found| found.batch.is_some());
        let report = Report { queue, message, policy: &policy, in_batch };
        shielded(move || report.log(outcome, verdict, &self.repeats, span));
        settlement
    }
}

/// The headers that all messages have with the same value.
fn common_headers(messages: &[&Message<'_>]) -> Headers {
    let mut common = Headers::default();
    for (name, value) in messages[0].envelope.headers.iter() {
        if messages.iter().all(|message| message.envelope.headers.get(name) == Some(value)) {
            common.set(name, value);
        }
    }
    common
}

/// The trace that all messages belong to.
fn common_trace(messages: &[&Message<'_>]) -> Option<crate::TraceParent> {
    let first = messages[0].envelope.trace;
    first.filter(|_| messages.iter().all(|message| message.envelope.trace == first))
}

fn span(queue: &QueueName, implementation: &ImplementationDef, messages: &[&Message<'_>]) -> Span {
    let trace = common_trace(messages);
    let span = tracing::info_span!(
        target: "actor_core::worker::executor",
        "actor.run",
        actor = implementation.actor.name,
        queue = %queue,
        batch = messages.len(),
        trace = trace.map(field::display),
    );
    trace::restore(&span, trace);
    span
}
