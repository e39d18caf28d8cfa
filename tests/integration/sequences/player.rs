//! Plays a sequence on a broker and on the reference, and compares every answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Delivery, Receipt, Wait, WorkerId};
use actor_core::inspect::Inspect;
use actor_core::settlement::{Outcome, Settled};
use actor_core::{MessageId, Priority, QueueName};

use super::reference::{End, Number, Reference};

/// Longer than any sequence, however often it makes scheduled messages due.
const LEASE: Duration = Duration::from_secs(3600 * 24 * 365);
/// When scheduled messages are due.
pub(super) const DUE_AFTER: Duration = Duration::from_secs(3600);
/// How long a claim waits for a message that is certainly ready, and a recovery for one that is left behind. Only a
/// faulty broker takes so long.
const PATIENCE: Duration = Duration::from_secs(10);
const REACHED: &str = "the storage can be reached";
/// What parked messages wait for.
const ABILITY: &str = "actor:absent";

/// A call of `Broker`. Indexes are taken modulo what exists.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send { priority: Priority, scheduled: bool },
    Claim { worker: usize, max: usize },
    Settle { worker: usize, delivery: usize, end: End },
    SettleOwn { delivery: usize, end: End },
    Renew { worker: usize },
    EndLease { worker: usize },
    Recover { worker: usize, max: usize },
    Stopping { worker: usize },
    Unpark { worker: usize, max: usize },
    Deregister { worker: usize },
    BeginAgain { worker: usize },
    MakeDue,
}

/// A broker, and a way to make scheduled messages due.
pub(super) trait Stage {
    type Broker: Broker + Inspect;
    fn broker(&self) -> &Self::Broker;
    fn make_due(&self, queue: &QueueName);
}

/// A queue of a broker, and its expected state.
pub(super) struct Player<'a, S> {
    stage: &'a S,
    queue: QueueName,
    reference: Reference,
    ids: Vec<MessageId>,
    /// The session of each worker, and the consumer of each session.
    workers: Vec<usize>,
    sessions: Vec<Consumer>,
    /// Every delivery: its session, its receipt, and its number in the reference.
    deliveries: Vec<(usize, Receipt, usize)>,
    settlements: usize,
    /// The sessions that deregistered, which claim nothing and renew no lease.
    deregistered: BTreeSet<usize>,
}

impl<'a, S: Stage> Player<'a, S> {
    pub(super) async fn new(stage: &'a S, queue: QueueName, workers: usize) -> Self {
        let mut player = Self {
            stage,
            queue,
            reference: Reference::default(),
            ids: Vec::new(),
            workers: Vec::new(),
            sessions: Vec::new(),
            deliveries: Vec::new(),
            settlements: 0,
            deregistered: BTreeSet::new(),
        };
        for _ in 0..workers {
            let session = player.begin().await;
            player.workers.push(session);
        }
        player
    }

    /// Takes a step, and describes any difference.
    pub(super) async fn take(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Send { priority, scheduled } => self.send(priority, scheduled).await,
            Step::Claim { worker, max } => self.claim(self.workers[worker], max).await?,
            Step::Settle { worker, delivery, ref end } => {
                if let Some(delivery) = self.delivery(delivery) {
                    self.settle(self.workers[worker], delivery, end).await?;
                }
            }
            Step::SettleOwn { delivery, ref end } => {
                if let Some(delivery) = self.delivery(delivery) {
                    self.settle(self.deliveries[delivery].0, delivery, end).await?;
                }
            }
            Step::Renew { worker } => self.renew(self.workers[worker]).await?,
            Step::EndLease { worker } => self.end_lease(self.workers[worker]).await,
            Step::Recover { worker, max } => _ = self.recover(self.workers[worker], max).await?,
            Step::Deregister { worker } => {
                let session = self.workers[worker];
                self.stage.broker().deregister(&self.sessions[session].worker, &self.queues()).await.expect(REACHED);
                self.reference.deregister(session);
                self.deregistered.insert(session);
            }
            Step::Stopping { worker } => {
                let session = self.workers[worker];
                self.stage.broker().stopping(&self.sessions[session].worker, &self.queues()).await.expect(REACHED);
                self.reference.stopping(session);
            }
            Step::Unpark { worker, max } => self.unpark(self.workers[worker], max).await?,
            Step::BeginAgain { worker } => self.workers[worker] = self.begin().await,
            Step::MakeDue => {
                self.stage.make_due(&self.queue);
                self.reference.make_due();
            }
        }
        self.reference.compare(&self.stage.broker().counts(&self.queue).await.expect(REACHED))
    }

    /// Ends every lease, and lets one more worker finish everything. Only dead letters may be left.
    pub(super) async fn drain(&mut self) -> Result<(), String> {
        for session in 0..self.sessions.len() {
            self.end_lease(session).await;
        }
        self.stage.make_due(&self.queue);
        self.reference.make_due();
        let last = self.begin().await;
        while self.recover(last, 100).await? > 0 {}
        let mut open = self.open(last);
        loop {
            for delivery in std::mem::take(&mut open) {
                self.settle(last, delivery, &End::Done).await?;
            }
            let before = self.deliveries.len();
            self.claim(last, 100).await?;
            open = (before..self.deliveries.len()).collect();
            let counts = self.stage.broker().counts(&self.queue).await.expect(REACHED);
            if open.is_empty() {
                return match counts.ready + counts.scheduled + counts.in_flight {
                    0 => self.reference.compare(&counts),
                    _ => Err(format!("at the end there are {counts:?}")),
                };
            }
        }
    }

    /// The deliveries of a session.
    fn open(&self, session: usize) -> Vec<usize> {
        (0..self.deliveries.len()).filter(|at| self.deliveries[*at].0 == session).collect()
    }

    fn delivery(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.deliveries.len())
    }

    fn queues(&self) -> [QueueName; 1] {
        [self.queue.clone()]
    }

    async fn begin(&mut self) -> usize {
        let consumer = Consumer::new(WorkerId::new("player"), self.queue.clone());
        self.stage.broker().register(&consumer.worker, &self.queues(), LEASE).await.expect(REACHED);
        self.sessions.push(consumer);
        self.reference.register(self.sessions.len() - 1);
        self.sessions.len() - 1
    }

    async fn send(&mut self, priority: Priority, scheduled: bool) {
        let (id, body) = (MessageId::new(), format!("{} sent", self.ids.len()));
        let message = Enqueue::new(id, priority, body.clone().into());
        let message = if scheduled { message.after(DUE_AFTER) } else { message };
        for answer in self.stage.broker().enqueue(&self.queue, vec![message]).await {
            answer.expect(REACHED);
        }
        self.ids.push(id);
        self.reference.send(priority, body, scheduled);
    }

    async fn claim(&mut self, session: usize, max: usize) -> Result<(), String> {
        if self.deregistered.contains(&session) {
            return Ok(());
        }
        let is_ready = self.reference.highest().is_some();
        let patience = if is_ready && max > 0 { PATIENCE } else { Duration::ZERO };
        let in_flight =
            self.stage.broker().claim(&self.sessions[session], max, &Wait::new(patience)).await.expect(REACHED);
        if in_flight.len() > max {
            return Err(format!("a claim of {max} delivered {}", in_flight.len()));
        }
        if in_flight.is_empty() && !patience.is_zero() {
            return Err("a claim delivered nothing, and there is what is ready".to_owned());
        }
        if let Some(crashed) = in_flight.iter().find(|delivery| delivery.crashes > 0) {
            return Err(format!("a claim delivered {crashed:?}"));
        }
        let numbers = self.numbers(&in_flight)?;
        let deliveries = self.reference.claimed(session, &numbers, max)?;
        let received = in_flight.into_iter().zip(deliveries);
        self.deliveries.extend(received.map(|(delivery, number)| (session, delivery.receipt, number)));
        Ok(())
    }

    async fn unpark(&mut self, session: usize, max: usize) -> Result<(), String> {
        let parked = self.reference.parked();
        let delivered = self.stage.broker().unpark(&self.sessions[session], &[ABILITY], max).await.expect(REACHED);
        if delivered.len() > max || delivered.len() < parked.min(max) {
            return Err(format!("{} were unparked of {parked}, and {max} asked for", delivered.len()));
        }
        let numbers = self.numbers(&delivered)?;
        let deliveries = self.reference.unparked(session, &numbers)?;
        let received = delivered.into_iter().zip(deliveries);
        self.deliveries.extend(received.map(|(delivery, number)| (session, delivery.receipt, number)));
        Ok(())
    }

    async fn recover(&mut self, session: usize, max: usize) -> Result<usize, String> {
        let left = self.reference.left_behind(session);
        let began = Instant::now();
        let recover = || self.stage.broker().recover(&self.sessions[session], max, Duration::ZERO);
        let mut in_flight = recover().await.expect(REACHED);
        // A request that took longer than the leases have ended grants their holders that time.
        while in_flight.is_empty() && max > 0 && !left.is_empty() && began.elapsed() < PATIENCE {
            in_flight = recover().await.expect(REACHED);
        }
        let numbers = self.numbers(&in_flight)?;
        if let Some(unexpected) = numbers.iter().find(|number| !left.contains(number)) {
            return Err(format!("message {unexpected} was recovered, and nobody dead held it"));
        }
        // Suspects are recovered last, one at a time.
        let is_fresh = |number: &&Number| !self.reference.is_suspect(**number);
        let fresh = left.iter().filter(is_fresh).count();
        let expected = if fresh > 0 { max.min(fresh) } else { left.len().min(max).min(1) };
        if numbers.len() != expected || (fresh > 0 && !numbers.iter().all(|number| is_fresh(&number))) {
            return Err(format!("{numbers:?} were recovered, of {left:?}"));
        }
        if max > 0 {
            let taken = self.reference.recovered(session, &numbers);
            for (delivery, (number, crashes, interruptions)) in in_flight.into_iter().zip(taken) {
                if (delivery.crashes, delivery.interruptions) != (crashes, interruptions) {
                    return Err(format!(
                        "{delivery:?} should have {crashes} crashes and {interruptions} interruptions"
                    ));
                }
                self.deliveries.push((session, delivery.receipt, number));
            }
        }
        Ok(numbers.len())
    }

    async fn settle(&mut self, session: usize, at: usize, end: &End) -> Result<(), String> {
        let (_, receipt, delivery) = &self.deliveries[at];
        // A worker that was delivered the message settles it by its own receipt, which knows who died with it before.
        let own = self.deliveries.iter().rev().find(|(by, _, number)| *by == session && number == delivery);
        let (receipt, delivery) = (own.map_or(receipt, |(_, own, _)| own).clone(), *delivery);
        let number = self.reference.number(delivery);
        let id = self.ids[number];
        self.settlements += 1;
        let body = format!("{number} settled {}", self.settlements);
        let bytes = bytes::Bytes::from(body.clone());
        let settlement = match *end {
            End::Done => Outcome::Done.into(),
            End::RetryNow(priority) => Outcome::Reschedule { id, priority, body: bytes, after: Duration::ZERO }.into(),
            End::RetryScheduled(priority) => Outcome::Reschedule { id, priority, body: bytes, after: DUE_AFTER }.into(),
            End::Park(priority) => {
                Outcome::Park { id, priority, body: bytes, after: DUE_AFTER, ability: ABILITY.to_owned() }.into()
            }
            End::DeadLetter => {
                Outcome::DeadLetter { id: Some(id), body: bytes, reason: "it was played so".to_owned() }.into()
            }
            End::Release => Outcome::Release { body: bytes }.into(),
        };
        let answers = self.stage.broker().settle(&self.sessions[session], &[(receipt, settlement)]).await;
        let answers: Vec<Settled> = answers.into_iter().map(|answer| answer.expect(REACHED)).collect();
        let counts = self.reference.settle(session, delivery, end, body);
        let expected = if counts { Settled::Applied } else { Settled::Stale };
        if answers == [expected] {
            return Ok(());
        }
        Err(format!("settling message {number} was answered with {answers:?}, and not {expected:?}"))
    }

    async fn renew(&mut self, session: usize) -> Result<(), String> {
        if self.deregistered.contains(&session) {
            return Ok(());
        }
        let renewed = self.stage.broker().renew(&self.sessions[session].worker, &self.queues(), LEASE).await;
        let held = renewed.expect(REACHED).held;
        if held == self.reference.renew(session) {
            return Ok(());
        }
        Err(format!("a renewal said that the lease is held: {held}"))
    }

    async fn end_lease(&mut self, session: usize) {
        if self.deregistered.contains(&session) {
            return;
        }
        let (worker, began) = (&self.sessions[session].worker, Instant::now());
        // A lease of no time waits for its answer no longer than a renewal must, which is little on a busy machine.
        while let Err(error) = self.stage.broker().renew(worker, &self.queues(), Duration::ZERO).await {
            assert!(error.is_transient() && began.elapsed() < PATIENCE, "{REACHED}: {error}");
        }
        self.reference.end_lease(session);
    }

    /// The messages of some deliveries. Their bodies must be what was stored last.
    fn numbers(&self, in_flight: &[Delivery]) -> Result<Vec<Number>, String> {
        let number = |delivery: &Delivery| {
            let body = String::from_utf8_lossy(&delivery.body);
            let known = self.reference.messages.iter().position(|message| message.body == body);
            known.ok_or_else(|| format!("{body:?} was in flight, which is no message as it was stored last"))
        };
        in_flight.iter().map(number).collect()
    }
}
