//! Claiming: a waiting read over the levels that may have something, and the looks at what is due.

use std::time::{Duration, Instant};

use actor_core::delivery::{Delivery, Wait};
use redis::{Cmd, Value};
use tokio::sync::watch;

use crate::connection::{ANSWER, Connections};
use crate::entry::{Content, Entry};
use crate::error::RequestError;
use crate::keys::{GROUP, LEVELS, Level, WAKE};
use crate::reading::{Reading, Step};
use crate::request::{Answer, Request, Verb};
use crate::script::{self, LOOK, Promoted};
use crate::subscription::{Delivered, DeliveryCount, MOST, Subscription};
use crate::weight::ENOUGH;

/// How many due messages one look moves at most.
const PROMOTED_AT_ONCE: usize = 128;
/// How often a read that should end is told so.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(20);
/// How soon a look that failed is repeated.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often a busy subscription passes on what it knows at most.
const PASS_ON_AGAIN: Duration = Duration::from_secs(1);
/// Where priorities are weighted, one claim of so many takes the lowest first.
const WEIGHT: u32 = 8;
/// How often the group is made for one claim.
const GROUP_ATTEMPTS: u32 = 3;

impl Subscription {
    /// Delivers what is ready, and waits for it as `wait` says: up to `max`, and about as much as one read
    /// should bring.
    pub(crate) async fn claim(
        &self,
        commands: &Connections,
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
        let deadline = Instant::now().checked_add(wait.limit());
        let mut paused = self.queue.paused.subscribe();
        let mut group_attempts = 0;
        while !wait.is_stopped() {
            if *paused.borrow_and_update() {
                if !resumed(&mut paused, deadline, wait).await {
                    break;
                }
                continue;
            }
            if let Some(delivered) = self.out_of_turn(commands, &mut reading, max, wait, &mut paused).await? {
                return Ok(delivered);
            }
            let step = Step::plan(&reading, deadline, self.reads.client().is_some());
            let count = reading.weight.ask(max, step.block.is_some() && !reading.is_full);
            let answers = self.read(commands, &mut reading, step, count, wait, &mut paused).await?;
            match self.take(commands, &mut reading, step, count, answers) {
                Ok(mut delivered) if !delivered.is_empty() => {
                    self.read_on(commands, &mut reading, &mut delivered, max, wait, &mut paused).await;
                    if delivered.len() >= max || reading.is_full || wait.is_stopped() {
                        self.pass_on(commands, &mut reading, wait).await;
                    }
                    return Ok(self.deliver(delivered.into_iter()));
                }
                // The next claim looks for lost deliveries first.
                Ok(_) if step.is_last(deadline) || reading.has_reconnected || self.is_recovery_in_doubt() => break,
                Ok(_) => {}
                // The group is missing at its first use, and after FLUSHALL.
                Err(error) if no_group(&error) && group_attempts < GROUP_ATTEMPTS => {
                    group_attempts += 1;
                    self.open(commands).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if wait.is_stopped() {
            self.pass_on(commands, &mut reading, wait).await;
        }
        Ok(Vec::new())
    }

    /// Where priorities are weighted, and higher levels have filled a number of reads: what is lowest.
    async fn out_of_turn(
        &self,
        commands: &Connections,
        reading: &mut Reading,
        max: usize,
        wait: &Wait,
        paused: &mut watch::Receiver<bool>,
    ) -> Result<Option<Vec<Delivery>>, RequestError> {
        // Below its cut a read asks for nothing; without one all levels have their share.
        if !self.weighted || reading.cut == Level::Low {
            return Ok(None);
        }
        reading.in_turn += 1;
        if reading.in_turn < WEIGHT {
            return Ok(None);
        }
        reading.in_turn = 0;
        let (cut, is_full) = (reading.cut, reading.is_full);
        for (from, to) in [(Level::LowReleased, Level::Low), (Level::NormalReleased, Level::Normal)] {
            if from <= cut {
                break;
            }
            let (step, count) = (Step::at_once(from, to), reading.weight.ask(max, false));
            let answers = self.read(commands, reading, step, count, wait, paused).await?;
            let delivered = self.take(commands, reading, step, count, answers);
            (reading.cut, reading.is_full) = (cut, is_full);
            let delivered = delivered?;
            if !delivered.is_empty() {
                return Ok(Some(self.deliver_as(delivered.into_iter(), true)));
            }
        }
        Ok(None)
    }

    /// Reads on where a read brought all that it asked for, less than is wanted, and little in bytes: it did not
    /// know before what messages weigh.
    async fn read_on(
        &self,
        commands: &Connections,
        reading: &mut Reading,
        delivered: &mut Vec<Delivered>,
        max: usize,
        wait: &Wait,
        paused: &mut watch::Receiver<bool>,
    ) {
        let first = delivered.len();
        let mut bytes: usize = delivered.iter().map(|delivered| delivered.body.len()).sum();
        while reading.is_full && delivered.len() < max && bytes < ENOUGH && !wait.is_stopped() && !*paused.borrow() {
            let step = Step::at_once(Level::HighReleased, reading.cut);
            let count = reading.weight.ask(max - delivered.len(), false);
            // What is in flight already is not lost for a read that fails: the doubt about that stays, and the next
            // claim meets what refused it.
            let Ok(answers) = self.read(commands, reading, step, count, wait, paused).await else { break };
            let Ok(more) = self.take(commands, reading, step, count, answers) else { break };
            bytes += more.iter().map(|delivered| delivered.body.len()).sum::<usize>();
            delivered.extend(more);
        }
        if delivered.len() > first {
            // What is urgent may have come meanwhile. Stable: within a level the order stays.
            delivered.sort_by_key(|delivered| delivered.level);
        }
    }

    /// Wakes another worker for what is due, where this subscription knows of it and may not be back in time:
    /// its slots are full, perhaps of long runs, or its worker stops.
    async fn pass_on(&self, commands: &Connections, reading: &mut Reading, wait: &Wait) {
        let now = Instant::now();
        if !reading.due || (now < reading.pass_on_at && !wait.is_stopped()) {
            return;
        }
        reading.pass_on_at = now + PASS_ON_AGAIN;
        let mut mark = Cmd::new();
        mark.arg("XADD").arg(self.queue.keys.ready(Level::WAKING)).arg("*").arg(WAKE).arg(1);
        // A claim that is dropped here was delivered what nobody holds yet.
        reading.in_doubt = true;
        // The time to look stays: if nobody has read the mark until this subscription is back, it must not look
        // later for it. A mark that was refused, as where Redis is out of memory, has told nobody.
        reading.due = commands.command(&mark, ANSWER).await.is_err();
        reading.in_doubt = false;
    }

    /// Sends one read, and what goes before it, and waits for its answer to the end: it may hold
    /// messages.
    async fn read(
        &self,
        commands: &Connections,
        reading: &mut Reading,
        step: Step,
        count: usize,
        wait: &Wait,
        paused: &mut watch::Receiver<bool>,
    ) -> Result<Vec<Answer>, RequestError> {
        let verb = match step.look {
            _ if !reading.woken.is_empty() => Verb::Wake,
            true => Verb::Look,
            false => Verb::Read,
        };
        let mut request = Request::with_capacity(verb, 4);
        if !reading.woken.is_empty() {
            let first = self.queue.keys.ready(Level::WAKING);
            let (mut ack, mut del) = (Cmd::new(), Cmd::new());
            ack.arg("XACK").arg(first).arg(GROUP).arg(&reading.woken);
            del.arg("XDEL").arg(first).arg(&reading.woken);
            request.command(del);
            request.command(ack);
        }
        if step.look {
            request.call(script::promote(&self.queue.keys, PROMOTED_AT_ONCE, reading.more));
        }
        request.command(self.read_command(step, count));
        // Until the answer is here it may be lost, also by a claim that is dropped.
        reading.in_doubt = true;
        let answer = self.reads.request(&request, step.block.unwrap_or_default() + ANSWER);
        tokio::pin!(answer);
        let answers = loop {
            tokio::select! {
                biased;
                answers = &mut answer => break answers?,
                () = ended(wait, paused), if step.block.is_some() => {}
                () = self.doubt.notified(), if step.block.is_some() => {}
                () = due(step.due) => {}
            }
            if let Some(client) = self.reads.client() {
                // It may come before the read has reached the server: then it is told again.
                let _ = commands.request(&self.unblock(client), ANSWER).await;
            }
            if let Ok(answers) = tokio::time::timeout(UNBLOCK_AGAIN, &mut answer).await {
                break answers?;
            }
        };
        reading.in_doubt = false;
        reading.woken.clear();
        // Who answers now may be a replica that was promoted, or a server that was started again, and have
        // forgotten a settlement: what it then still believes in flight would stay delivered to this living worker.
        let connection = self.reads.made();
        reading.has_reconnected |= reading.answered_by != 0 && reading.answered_by != connection;
        reading.answered_by = connection;
        Ok(answers)
    }

    fn read_command(&self, step: Step, count: usize) -> Cmd {
        let mut read = Cmd::new();
        read.arg("XREADGROUP").arg("GROUP").arg(GROUP).arg(self.worker()).arg("COUNT").arg(count);
        if let Some(block) = step.block {
            // Rounded up: 0 would wait for ever.
            read.arg("BLOCK").arg(block.as_nanos().div_ceil(1_000_000).max(1) as u64);
        }
        read.arg("STREAMS");
        let asked = || Level::ALL.into_iter().filter(|level| (step.from..=step.cut).contains(level));
        for level in asked() {
            read.arg(self.queue.keys.ready(level));
        }
        for _ in asked() {
            read.arg(">");
        }
        read
    }

    /// Ends a read that waits.
    ///
    /// A server whose writers are paused, as while it hands over to its replica, holds the read back, and
    /// many versions die of being told to unblock what is held back (redis/redis#14164). So a write that
    /// changes nothing goes before: where writers are paused, it waits for the end of that.
    fn unblock(&self, client: i64) -> Request {
        let (mut write, mut unblock) = (Cmd::new(), Cmd::new());
        write.arg("XACK").arg(self.queue.keys.ready(Level::WAKING)).arg(GROUP).arg("0-0");
        unblock.arg("CLIENT").arg("UNBLOCK").arg(client);
        Request::of(Verb::Unblock, [write, unblock].into_iter())
    }

    /// Takes what a read in flight, and learns from it.
    fn take(
        &self,
        commands: &Connections,
        reading: &mut Reading,
        step: Step,
        count: usize,
        mut answers: Vec<Answer>,
    ) -> Result<Vec<Delivered>, RequestError> {
        let read = answers.pop();
        let looked_ms = if step.look { self.learn(reading, answers.pop()) } else { 0 };
        let streams = match read.transpose()? {
            Some(Value::Nil) => Vec::new(),
            Some(Value::Map(streams)) => streams,
            _ => {
                reading.in_doubt = true;
                return Err(commands.strange("to XREADGROUP"));
            }
        };
        let mut delivered: [Vec<Delivered>; LEVELS] = Default::default();
        let mut full = None;
        for (key, entries) in streams {
            let (Value::BulkString(key), Value::Array(entries)) = (key, entries) else { continue };
            let Some(level) = self.queue.keys.level(&key) else { continue };
            if entries.len() >= count {
                full = Some(full.map_or(level, |full: Level| full.min(level)));
            }
            let delivered = &mut delivered[usize::from(level.place())];
            delivered.reserve(entries.len());
            for entry in entries {
                match Entry::read(level, entry) {
                    Some(Entry { id, content: Content::Message(body) }) => {
                        delivered.push(Delivered { level, id, body, count: DeliveryCount::default() });
                    }
                    Some(Entry { id, content: Content::Wake }) => {
                        reading.woken.push(id);
                        // What an older one tells of, the look has seen: passed on again, it would go
                        // round among busy subscriptions for ever.
                        if id.ms() >= looked_ms {
                            (reading.look_at, reading.due) = (Instant::now(), true);
                        }
                    }
                    None => {}
                }
            }
        }
        // A level that gave all that was asked for probably has more: what is below it must wait. One
        // that gave less has no more: the next one's turn has come.
        reading.cut = full.unwrap_or(step.cut.below());
        reading.is_full = full.is_some();
        let delivered: Vec<_> = delivered.into_iter().flatten().collect();
        let (mut bytes, mut largest) = (0, 0);
        for Delivered { body, .. } in &delivered {
            bytes += body.len();
            largest = largest.max(body.len());
        }
        reading.weight.observe(delivered.len(), bytes, largest);
        Ok(delivered)
    }

    /// Takes note of when to look again, and whether a message is due then. Returns when the look was, in
    /// ms by the server's clock; 0 where it failed.
    fn learn(&self, reading: &mut Reading, looked: Option<Answer>) -> u64 {
        let promoted = match looked {
            Some(Ok(answer)) => script::promoted(&answer),
            // What the read has delivered must not be lost for it.
            Some(Err(error)) => {
                tracing::warn!(queue = %self.queue.name, %error, "scheduled messages could not be moved");
                None
            }
            None => None,
        };
        // Not all workers at once.
        let unprompted = LOOK.mul_f64(0.75 + fastrand::f64() / 4.0);
        let (after, due) = match promoted {
            Some(Promoted { next: Some(next), .. }) => (next.min(unprompted), next <= unprompted),
            Some(Promoted { next: None, .. }) => (unprompted, false),
            None => (LOOK_AGAIN, false),
        };
        (reading.look_at, reading.due) = (Instant::now() + after, due);
        reading.more = promoted.is_some_and(|promoted| promoted.more);
        promoted.map_or(0, |promoted| promoted.now_ms)
    }

    /// Makes the streams and their group.
    async fn open(&self, commands: &Connections) -> Result<(), RequestError> {
        let mut request = Request::new(Verb::Open);
        request.call(script::open(&self.queue.keys));
        commands.request(&request, ANSWER).await?.into_iter().try_for_each(|answer| answer.map(drop))
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
        // An error would mean that the queue is gone, which this subscription holds.
        _ = paused.wait_for(|paused| *paused) => {}
    }
}

/// Waits while a queue is paused. Whether it was resumed before the wait ended.
async fn resumed(paused: &mut watch::Receiver<bool>, deadline: Option<Instant>, wait: &Wait) -> bool {
    let until = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        resumed = paused.wait_for(|paused| !paused) => resumed.is_ok(),
        () = wait.stopped() => false,
        () = until => false,
    }
}

fn no_group(error: &RequestError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}
