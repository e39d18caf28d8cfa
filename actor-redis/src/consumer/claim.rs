//! Claiming: a waiting read over the levels that may have something, and the checks for what is due.

use std::time::{Duration, Instant};

use actor_core::delivery::{Delivery, Wait};
use redis::{Cmd, Value};
use tokio::sync::watch;

use super::delivered::{Delivered, DeliveryCount};
use super::state::{Reading, State, Step};
use super::weight::ENOUGH;
use super::{MOST, QueueConsumer};
use crate::connection::ANSWER;
use crate::entry::{Entry, EntryId};
use crate::error::RequestError;
use crate::keys::{GROUP, LEVELS, Level};
use crate::link::Route;
use crate::request::{Answer, Request};
use crate::script::{self, Release};

/// How many due messages one check moves at most.
const PROMOTED_AT_ONCE: usize = 512;
/// How soon a read that should end is unblocked again.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(20);
/// How long a read waits for its end once another server serves the queue.
const MOVED: Duration = Duration::from_secs(1);
/// How often a busy consumer wakes another worker at most.
const PASS_ON_AGAIN: Duration = Duration::from_secs(1);
/// Where priorities are weighted, one claim of so many takes the lowest first.
const WEIGHT: u32 = 8;
/// How often the group is made for one claim.
const GROUP_ATTEMPTS: u32 = 3;
/// How many messages one call of a script releases at most.
const RELEASED_AT_ONCE: usize = 64;

impl QueueConsumer {
    /// Delivers what is ready, and waits for it as `wait` says: up to `max`, and about as much as one read
    /// should bring.
    pub(crate) async fn claim(
        &self,
        commands: Route<'_>,
        max: usize,
        wait: &Wait,
    ) -> Result<Vec<Delivery>, RequestError> {
        let mut reading = self.reading.lock().await;
        let max = max.min(MOST);
        if max == 0 {
            return Ok(Vec::new());
        }
        let lost = self.reclaim(commands, &mut reading, max).await?;
        if !lost.is_empty() {
            return Ok(lost);
        }
        self.declare(commands, &mut reading).await?;
        reading.is_gated = self.queue.is_gated();
        if reading.is_gated && reading.recount_at <= Instant::now() {
            self.recount(commands, &mut reading).await;
        }
        reading.must_grant = reading.is_gated;
        let paused = self.queue.paused.subscribe();
        Claim { consumer: self, commands, reading: &mut reading, max, wait, paused }.run().await
    }
}

/// A claim of a consumer that is in step.
struct Claim<'a> {
    consumer: &'a QueueConsumer,
    commands: Route<'a>,
    reading: &'a mut Reading,
    max: usize,
    wait: &'a Wait,
    paused: watch::Receiver<bool>,
}

impl Claim<'_> {
    async fn run(mut self) -> Result<Vec<Delivery>, RequestError> {
        let deadline = Instant::now().checked_add(self.wait.limit());
        let mut group_attempts = 0;
        while !self.wait.is_stopped() {
            if *self.paused.borrow_and_update() {
                if !self.is_resumed_by(deadline).await {
                    break;
                }
                continue;
            }
            if let Some(delivered) = self.out_of_turn().await? {
                return Ok(self.deliver(delivered, true).await);
            }
            let step = Step::plan(self.reading, deadline, self.consumer.reads().client().is_some());
            let count = self.reading.weight.ask(self.max, step.block.is_some() && !self.reading.is_full);
            match self.read(step, count).await {
                Ok(delivered) if !delivered.is_empty() => {
                    let delivered = self.read_on(delivered).await;
                    return Ok(self.deliver(delivered, false).await);
                }
                // The next claim reclaims first.
                Ok(_) if !self.consumer.is_in_step(self.reading) => break,
                Ok(_) if step.is_last(deadline) && !self.reading.is_unread => break,
                Ok(_) => {}
                // The group is missing at its first use, and after FLUSHALL.
                Err(error) if no_group(&error) && group_attempts < GROUP_ATTEMPTS => {
                    group_attempts += 1;
                    self.open().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.deliver(Vec::new(), false).await)
    }

    /// Where priorities are weighted, and higher levels have filled a number of reads: what is lowest.
    async fn out_of_turn(&mut self) -> Result<Option<Vec<Delivered>>, RequestError> {
        // Below its cut a read asks for nothing; without one all levels have their share.
        if !self.consumer.weighted || self.reading.cut == Level::Low {
            return Ok(None);
        }
        self.reading.in_turn += 1;
        if self.reading.in_turn < WEIGHT {
            return Ok(None);
        }
        self.reading.in_turn = 0;
        let (cut, is_full) = (self.reading.cut, self.reading.is_full);
        for (from, to) in [(Level::LowReleased, Level::Low), (Level::NormalReleased, Level::Normal)] {
            if from <= cut {
                break;
            }
            let delivered = self.read(Step::at_once(from, to), self.reading.weight.ask(self.max, false)).await;
            (self.reading.cut, self.reading.is_full) = (cut, is_full);
            let delivered = delivered?;
            if !delivered.is_empty() {
                return Ok(Some(delivered));
            }
        }
        Ok(None)
    }

    /// Reads on where a read brought all that it asked for, less than is wanted, and little in bytes: it did not
    /// know before what messages weigh.
    async fn read_on(&mut self, mut delivered: Vec<Delivered>) -> Vec<Delivered> {
        let first = delivered.len();
        let mut bytes: usize = delivered.iter().map(|delivered| delivered.body.len()).sum();
        while self.reading.is_full
            && delivered.len() < self.max
            && bytes < ENOUGH
            && !self.wait.is_stopped()
            && !*self.paused.borrow()
        {
            let count = self.reading.weight.ask(self.max - delivered.len(), false);
            // What is in flight already is not lost for a read that fails: the consumer is then out of step, and the
            // next claim meets what refused it.
            let Ok(more) = self.read(Step::at_once(Level::HighReleased, self.reading.cut), count).await else { break };
            bytes += more.iter().map(|delivered| delivered.body.len()).sum::<usize>();
            delivered.extend(more);
        }
        if delivered.len() > first {
            // What is urgent may have come meanwhile. Stable: within a level the order stays.
            delivered.sort_by_key(|delivered| delivered.place.level);
        }
        delivered
    }

    /// Ends the claim: delivers as many as were asked for, releases the others, and wakes another worker for what
    /// is due.
    async fn deliver(mut self, mut delivered: Vec<Delivered>, out_of_turn: bool) -> Vec<Delivery> {
        let surplus = delivered.split_off(self.max.min(delivered.len()));
        let is_busy = delivered.len() == self.max || self.reading.is_full || self.wait.is_stopped();
        if !surplus.is_empty() || (is_busy && self.must_pass_on()) {
            // If the claim is dropped here, nobody holds what it was delivered.
            let state = std::mem::replace(&mut self.reading.state, State::Behind);
            let are_released = surplus.is_empty() || self.release(&surplus).await;
            if is_busy && self.must_pass_on() {
                self.pass_on().await;
            }
            if are_released {
                self.reading.state = state;
            }
        }
        self.consumer.hold(delivered, out_of_turn)
    }

    /// Releases what was delivered over what was asked for: a read counts for each level by itself. Whether it is
    /// certain that nothing of it is still in flight.
    async fn release(&self, surplus: &[Delivered]) -> bool {
        let mut request = Request::new("release");
        for some in surplus.chunks(RELEASED_AT_ONCE) {
            let releases = some.iter().map(|delivered| Release {
                place: delivered.place,
                body: &delivered.body,
                suspect: delivered.suspect,
                slot: &delivered.holds.slot,
                unique: &delivered.holds.unique,
            });
            request.call(script::release(&self.consumer.queue.keys, self.consumer.worker(), releases));
        }
        let is_error = |part: &Value| matches!(part, Value::ServerError(_));
        let is_done = |answer: &Answer| matches!(answer, Ok(Value::Array(parts)) if !parts.iter().any(is_error));
        self.commands.request(&request, ANSWER).await.is_ok_and(|answers| answers.iter().all(is_done))
    }

    /// Whether to wake another worker for what is due: this consumer knows of it and may not be back in time,
    /// because its slots are full, perhaps of long runs, or its worker stops.
    fn must_pass_on(&self) -> bool {
        self.reading.due && (self.reading.pass_on_at <= Instant::now() || self.wait.is_stopped())
    }

    async fn pass_on(&mut self) {
        self.reading.pass_on_at = Instant::now() + PASS_ON_AGAIN;
        // The time to check stays: if nobody was woken before this consumer is back, it must not check later for it.
        // Where Redis refuses, as out of memory, nobody knows.
        let wake = script::wake(&self.consumer.queue.keys);
        self.reading.due = self.commands.command(&wake, ANSWER).await.is_err();
    }

    /// Reads once, after a check for what is due where it is time for one.
    async fn read(&mut self, step: Step, count: usize) -> Result<Vec<Delivered>, RequestError> {
        let keys = &self.consumer.queue.keys;
        let mut request = Request::new(match step {
            Step { check: true, .. } => "check",
            Step { grant: true, .. } => "grant",
            _ => "read",
        });
        if step.check {
            let woken = self.reading.woken.then_some(self.consumer.worker());
            request.call(script::promote(keys, PROMOTED_AT_ONCE, woken));
            request.command(script::first_due(keys));
        }
        if step.grant {
            request.call(script::grant(keys, count));
        }
        request.command(self.command(step, count));
        let before = std::mem::replace(&mut self.reading.state, State::Reading);
        let answers = self.answers(&request, step).await?;
        // Who answers now may be a replica that was promoted, or a server that was started again, and have
        // forgotten a settlement: what it then still believes in flight would stay so with this living worker.
        let connection = self.consumer.reads().made();
        let is_another = self.reading.answered_by != 0 && self.reading.answered_by != connection;
        self.reading.answered_by = connection;
        self.reading.state = if is_another { State::Behind } else { before };
        self.take(step, count, answers)
    }

    /// Sends a read and waits for its answer to the end: it may hold messages.
    async fn answers(&mut self, request: &Request, step: Step) -> Result<Vec<Answer>, RequestError> {
        let consumer = self.consumer;
        let reads = consumer.reads();
        let answer = reads.request(request, step.block.unwrap_or_default() + ANSWER);
        let moved = reads.moved();
        tokio::pin!(answer, moved);
        loop {
            tokio::select! {
                biased;
                answers = &mut answer => return answers,
                // A server that lives says so itself. From one that does not, nothing would come for as long as the read.
                () = &mut moved, if step.block.is_some() => {
                    let answers = tokio::time::timeout(MOVED, &mut answer).await;
                    return answers.unwrap_or_else(|_| Err(reads.silence(MOVED)));
                }
                () = ended(self.wait, &mut self.paused), if step.block.is_some() => {}
                () = consumer.doubt.notified(), if step.block.is_some() => {}
                () = due(step.due) => {}
            }
            if let Some(client) = reads.client() {
                // It may come before the read has reached the server: then it is unblocked again.
                let _ = self.commands.request_beside(reads, &self.unblock(client), ANSWER).await;
            }
            if let Ok(answers) = tokio::time::timeout(UNBLOCK_AGAIN, &mut answer).await {
                return answers;
            }
        }
    }

    fn command(&self, step: Step, count: usize) -> Cmd {
        let keys = &self.consumer.queue.keys;
        let mut read = Cmd::new();
        read.arg("XREADGROUP").arg("GROUP").arg(GROUP).arg(self.consumer.worker()).arg("COUNT").arg(count);
        if let Some(block) = step.block {
            // Rounded up: 0 would wait for ever.
            read.arg("BLOCK").arg(block.as_nanos().div_ceil(1_000_000).max(1) as u64);
        }
        read.arg("STREAMS");
        let levels = Level::ALL.into_iter().filter(|level| (step.from..=step.cut).contains(level));
        // What reads all that is urgent also sees what wakes it.
        let wake = (step.from == Level::HighReleased).then_some(&*keys.wake);
        let streams: Vec<_> = wake.into_iter().chain(levels.map(|level| keys.ready(level))).collect();
        read.arg(&streams);
        for _ in streams {
            read.arg(">");
        }
        read
    }

    /// Ends a read that waits.
    ///
    /// A server whose writers are paused, as while it hands over to its replica, holds the read back, and
    /// many versions crash when what is held back is unblocked (redis/redis#14164). So a write that
    /// changes nothing goes before: where writers are paused, it waits for the end of that.
    fn unblock(&self, client: i64) -> Request {
        let write = redis::cmd("XACK").arg(&self.consumer.queue.keys.wake).arg(GROUP).arg("0-0").take();
        let unblock = redis::cmd("CLIENT").arg("UNBLOCK").arg(client).take();
        Request::of("unblock", [write, unblock].into_iter())
    }

    /// Takes what a read delivered, by level, and learns from it.
    fn take(&mut self, step: Step, count: usize, mut answers: Vec<Answer>) -> Result<Vec<Delivered>, RequestError> {
        let read = answers.pop();
        let granted = if step.grant { answers.pop() } else { None };
        let first_due = if step.check { answers.pop() } else { None };
        let checked_ms = if step.check { self.reading.learn(&self.consumer.queue, answers.pop()) } else { 0 };
        if let Some(granted) = granted {
            self.reading.learn_of_lanes(&self.consumer.queue, granted);
        }
        if checked_ms > 0
            && let Some(Ok(first_due)) = first_due
        {
            self.consumer.queue.ticks.set(script::first_due_in(&first_due, checked_ms));
        }
        let streams = match read.transpose()? {
            Some(Value::Nil) => Vec::new(),
            Some(Value::Map(streams)) => streams,
            _ => {
                self.reading.state = State::Behind;
                return Err(self.commands.strange("to XREADGROUP"));
            }
        };
        let keys = &self.consumer.queue.keys;
        let mut delivered: [Vec<Delivered>; LEVELS] = Default::default();
        let mut full = None;
        for (key, entries) in streams {
            let (Value::BulkString(key), Value::Array(entries)) = (key, entries) else { continue };
            let Some(level) = keys.level(&key) else {
                // Where the check came after this was written, it has seen what is due: passed on again, it would go
                // round among busy workers for ever.
                if entries.iter().filter_map(EntryId::of).any(|id| id.ms() >= checked_ms) {
                    (self.reading.check_at, self.reading.due) = (Instant::now(), true);
                }
                self.reading.woken = true;
                continue;
            };
            if entries.len() >= count {
                full = Some(full.map_or(level, |full: Level| full.min(level)));
            }
            let deliver = |entry| Delivered::new(level, entry, DeliveryCount::default());
            delivered[usize::from(level.place())] = entries.into_iter().filter_map(Entry::read).map(deliver).collect();
        }
        // A level that gave all that was asked for probably has more: what is below it must wait. One
        // that gave less has no more: the next one's turn has come.
        self.reading.cut = full.unwrap_or(step.cut.below());
        self.reading.is_full = full.is_some();
        let delivered: Vec<_> = delivered.into_iter().flatten().collect();
        self.reading.is_unread &= step.grant && delivered.is_empty();
        self.reading.weight.observe(delivered.iter().map(|delivered| delivered.body.len()));
        Ok(delivered)
    }

    /// Makes the streams and their group.
    async fn open(&self) -> Result<(), RequestError> {
        self.commands.run(Request::calling("open", script::open(&self.consumer.queue.keys))).await
    }

    /// Waits while the queue is paused. Whether it was resumed before the wait ended.
    async fn is_resumed_by(&mut self, deadline: Option<Instant>) -> bool {
        tokio::select! {
            resumed = self.paused.wait_for(|paused| !paused) => resumed.is_ok(),
            () = self.wait.stopped() => false,
            () = due(deadline) => false,
        }
    }
}

/// Completes at this time; never, where there is none.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Completes once a read that waits should end.
async fn ended(wait: &Wait, paused: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = wait.stopped() => {}
        // An error would mean that the queue is gone, which this consumer holds.
        _ = paused.wait_for(|paused| *paused) => {}
    }
}

fn no_group(error: &RequestError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}
