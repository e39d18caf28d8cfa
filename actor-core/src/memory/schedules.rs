//! The schedules of a [`MemoryBroker`].

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::clock::Moment;
use super::queue::{Copied, Queue};
use super::{LONGEST_PAGE, MemoryBroker};
use crate::delivery::Wait;
use crate::inspect::{Cursor, Page};
use crate::schedule::{
    Change, Declared, Due, DueSchedule, Fired, Firing, ListedSchedule, NewSchedule, ScheduleListing, ScheduleState,
    Schedules, Then,
};
use crate::worker::outage::until;
use crate::{BrokerError, MessageId, QueueName};

/// A queue's schedules.
#[derive(Debug, Default)]
pub(super) struct Kept {
    by_name: BTreeMap<String, Entry>,
    /// How many revisions there ever were.
    revisions: u64,
    /// The messages whose schedules wait for their settlement.
    open: HashSet<MessageId>,
    /// For how long workers have declared schedules, and until when.
    served: Duration,
    served_until: Moment,
}

#[derive(Debug)]
struct Entry {
    schedule: NewSchedule,
    revision: u64,
    tick: Option<Moment>,
    due: Moment,
    since: Moment,
    paused: bool,
    parked: Option<String>,
    undeclared: Option<Moment>,
    /// What `served` was when a worker last declared it; `None` for one that was stored at run time.
    declared: Option<Duration>,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    tick: Moment,
    at: Moment,
    message: MessageId,
}

impl Entry {
    fn fires(&self) -> bool {
        !self.paused && self.parked.is_none() && self.undeclared.is_none()
    }

    /// Begins its ticks now.
    fn begin(&mut self, revision: u64, now: Moment) {
        (self.revision, self.tick, self.due, self.since) = (revision, None, now, now);
    }

    fn listed(&self) -> ListedSchedule {
        let state = match (self.undeclared, &self.parked, self.paused) {
            (Some(since), ..) => ScheduleState::Undeclared(since.time()),
            (_, Some(why), _) => ScheduleState::Parked(why.clone()),
            (.., true) => ScheduleState::Paused,
            _ => ScheduleState::Active,
        };
        let (declared, tick) = (self.declared.is_some(), self.tick.filter(|_| self.fires()));
        ListedSchedule {
            next_tick: tick.map(Moment::time),
            due: tick.map(|_| self.due.time()),
            last_tick: self.last.map(|last| last.tick.time()),
            last_fired: self.last.map(|last| last.at.time()),
            last_message: self.last.map(|last| last.message),
            ..ListedSchedule::new(self.schedule.clone(), state, declared, self.since.time())
        }
    }
}

impl Kept {
    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.by_name.values().filter(|entry| entry.fires()).map(|entry| entry.due).min()
    }

    /// Takes note that a message is settled.
    pub(super) fn end_tick(&mut self, message: MessageId) {
        self.open.remove(&message);
    }

    fn revision(&mut self) -> u64 {
        self.revisions += 1;
        self.revisions
    }

    fn put(&mut self, new: &NewSchedule, is_declared: bool, now: Moment) -> Result<(), BrokerError> {
        let (revision, served) = (self.revision(), self.served);
        let declared = is_declared.then_some(served);
        let Some(entry) = self.by_name.get_mut(&new.name) else {
            let (schedule, last) = (new.clone(), None);
            let (paused, parked, undeclared) = (false, None, None);
            let (tick, due, since) = (None, now, now);
            let entry = Entry { schedule, revision, tick, due, since, paused, parked, undeclared, declared, last };
            self.by_name.insert(new.name.clone(), entry);
            return Ok(());
        };
        if !is_declared && entry.declared.is_some() && entry.undeclared.is_none() {
            return Err(BrokerError::refused(format!("an actor declares the schedule `{}`", new.name)));
        }
        entry.declared = declared;
        let was_off = entry.parked.take().is_some() | entry.undeclared.take().is_some();
        if was_off || entry.schedule.timing != new.timing {
            entry.begin(revision, now);
        } else if entry.schedule != *new {
            entry.revision = revision;
        }
        entry.schedule = new.clone();
        Ok(())
    }

    fn declare(&mut self, schedules: &[NewSchedule], begins: bool, now: Moment) -> Result<Declared, BrokerError> {
        // In a longer pause there was perhaps nobody to declare anything.
        self.served += self.served_until.until(now).min(Declared::REFRESH * 2);
        self.served_until = now;
        for new in schedules {
            match self.by_name.get_mut(&new.name).filter(|_| !begins) {
                Some(entry) if entry.undeclared.is_none() => entry.declared = Some(self.served),
                _ => self.put(new, true, now)?,
            }
        }
        let mut found = Declared::default();
        for (name, entry) in &mut self.by_name {
            let Some(unserved) = entry.declared.map(|declared| self.served - declared) else { continue };
            if unserved > Declared::REMOVED_AFTER {
                found.removed.push(name.clone());
            } else if unserved > Declared::UNDECLARED_AFTER && entry.undeclared.is_none() {
                entry.undeclared = Some(Moment(now.0.saturating_sub(Moment::default().after(unserved).0)));
                found.undeclared.push(name.clone());
            }
        }
        for name in &found.removed {
            self.by_name.remove(name);
        }
        Ok(found)
    }

    fn due(&self, max: usize, now: Moment) -> Vec<DueSchedule> {
        let mut due: Vec<&Entry> = self.by_name.values().filter(|entry| entry.fires() && entry.due <= now).collect();
        due.sort_by_key(|entry| entry.due);
        let show = |entry: &Entry| {
            let tick = entry.tick.map(Moment::time);
            DueSchedule::new(entry.schedule.clone(), entry.revision, tick, entry.since.time())
        };
        due.into_iter().take(max).map(show).collect()
    }

    fn change(&mut self, name: &str, change: Change, now: Moment) -> bool {
        let revision = self.revision();
        let Some(entry) = self.by_name.get_mut(name) else { return false };
        match change {
            Change::Pause => entry.paused = true,
            Change::Resume => {
                let was_off = std::mem::take(&mut entry.paused) | entry.parked.take().is_some();
                if was_off {
                    entry.begin(revision, now);
                }
            }
            Change::Remove => drop(self.by_name.remove(name)),
        }
        true
    }
}

/// Moves a schedule on.
fn fire(queue: &mut Queue, firing: &Firing, now: Moment) -> Fired {
    let kept = &queue.schedules;
    let is_it = |entry: &&Entry| {
        entry.fires()
            && entry.revision == firing.revision
            && entry.tick == firing.tick.map(Moment::of)
            && entry.due <= now
    };
    let Some(entry) = kept.by_name.get(&firing.name).filter(is_it) else { return Fired::Stale };
    let unsettled = entry.last.map(|last| last.message).filter(|message| kept.open.contains(message));
    let is_held = firing.unless_unsettled && unsettled.is_some_and(|message| queue.has(message));
    let messages = firing.messages.as_ref().filter(|_| !is_held);
    let mut last = None;
    for message in messages.iter().flat_map(|(messages, _)| messages) {
        let (body, lane) = (message.body.clone(), message.lane.clone());
        let copy = Copied { priority: message.priority, body, suspect: false, lane, held: None };
        queue.store(copy, Duration::ZERO, now);
        last = Some(message.id);
    }
    let kept = &mut queue.schedules;
    // A message that was deleted is settled by nobody.
    kept.open.retain(|message| is_held || Some(*message) != unsettled);
    let entry = kept.by_name.get_mut(&firing.name).expect("it was found above");
    if let (Some(message), Some((_, tick))) = (last, messages) {
        entry.last = Some(Last { tick: Moment::of(*tick), at: now, message });
        if firing.unless_unsettled {
            kept.open.insert(message);
        }
    }
    match &firing.then {
        Then::Next { tick, due } => (entry.tick, entry.due) = (Some(Moment::of(*tick)), Moment::of(*due)),
        Then::Park(why) => entry.parked = Some(why.clone()),
    }
    if is_held && firing.messages.is_some() { Fired::Skipped } else { Fired::Fired }
}

#[async_trait]
impl Schedules for MemoryBroker {
    async fn upsert(&self, queue: &QueueName, schedules: &[NewSchedule]) -> Vec<Result<(), BrokerError>> {
        self.change_and_wake(queue, |queue, now| {
            schedules.iter().map(|new| queue.schedules.put(new, false, now)).collect()
        })
    }

    async fn declare(
        &self,
        queue: &QueueName,
        schedules: &[NewSchedule],
        begins: bool,
    ) -> Result<Declared, BrokerError> {
        self.change_and_wake(queue, |queue, now| queue.schedules.declare(schedules, begins, now))
    }

    async fn due(&self, queue: &QueueName, max: usize, wait: &Wait) -> Result<Due, BrokerError> {
        let changed = self.with(queue, |slot, _| slot.changed.clone());
        let mut limit = None;
        loop {
            // Made before the queue is looked at: it is woken by whatever changes from here on.
            let wake = changed.notified();
            let (due, until_due) = self.change(queue, |queue, now| {
                let kept = &queue.schedules;
                let due = Due::new(kept.due(max, now), now.time(), !kept.by_name.is_empty());
                (due, kept.next_due().map(|due| now.until(due)))
            });
            if !due.schedules.is_empty() || max == 0 || wait.limit().is_zero() || wait.is_stopped() {
                return Ok(due);
            }
            let limit = limit.get_or_insert_with(|| Box::pin(sleep(wait.limit())));
            tokio::select! {
                () = wait.stopped() => return Ok(due),
                () = limit => return Ok(due),
                () = wake => {}
                () = until(until_due.and_then(|until_due| Instant::now().checked_add(until_due))) => {}
            }
        }
    }

    async fn fire(&self, queue: &QueueName, firings: &[Firing]) -> Vec<Result<Fired, BrokerError>> {
        self.change_and_wake(queue, |queue, now| firings.iter().map(|firing| Ok(fire(queue, firing, now))).collect())
    }

    async fn list_schedules(&self, queue: &QueueName, page: Page) -> Result<ScheduleListing, BrokerError> {
        let limit = page.limit.clamp(1, LONGEST_PAGE);
        let after = page.after.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.as_str().to_owned()));
        Ok(self.view(queue, |queue| {
            let range = queue.schedules.by_name.range((after, Bound::Unbounded));
            let mut listed: Vec<_> = range.take(limit + 1).map(|(_, entry)| entry.listed()).collect();
            let is_last = listed.len() <= limit;
            listed.truncate(limit);
            let next = listed.last().filter(|_| !is_last).map(|last| Cursor::new(&*last.name));
            ScheduleListing::new(listed, next)
        }))
    }

    async fn read_schedule(&self, queue: &QueueName, name: &str) -> Result<Option<ListedSchedule>, BrokerError> {
        Ok(self.view(queue, |queue| queue.schedules.by_name.get(name).map(Entry::listed)))
    }

    async fn change_schedule(&self, queue: &QueueName, name: &str, change: Change) -> Result<bool, BrokerError> {
        Ok(self.change_and_wake(queue, |queue, now| queue.schedules.change(name, change, now)))
    }
}
