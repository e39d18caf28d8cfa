//! What stands in Redis, and what one command or one script does to it. Each method is one step, which
//! nothing comes between.

use std::collections::{BTreeMap, BTreeSet};

use crate::gate::Gate;
use crate::unique::{OnConflict, Place, Unique};

/// One session of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// Which worker's.
    pub worker: u8,
    /// Which of its sessions, from 1.
    pub number: u8,
}

/// An entry of a ready stream, by its message and which of that message's entries it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The message, from 0.
    pub message: u8,
    /// Which of its entries, from 0.
    pub copy: u8,
}

/// What a stored message says of its past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// How many attempts failed.
    pub attempt: u8,
    /// How many workers died with an earlier copy.
    pub crashes: u8,
    /// How often earlier copies were in flight.
    pub deliveries: u8,
}

/// Where a ready entry stands with the consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// It was never read.
    Unread,
    /// It is in flight.
    InFlight {
        /// To whom.
        to: Session,
        /// How often it was in flight, this time included.
        times: u8,
        /// How often of these its worker ended while it was stopping.
        interrupted: u8,
    },
    /// It was acknowledged, and is still there: no read finds it.
    Acknowledged,
}

/// An entry of a ready stream. A in flight one may have lost its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Whether it is still in the stream.
    pub body: bool,
    /// What its body says.
    pub counters: Counters,
    /// Where it stands with the group.
    pub group: Group,
}

/// Why a message was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It failed once more than it may be retried.
    Failed,
    /// Its workers died too often.
    Poison,
}

/// A message as it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The entry.
    pub id: Id,
    /// What its body says.
    pub counters: Counters,
    /// How often it was delivered before as this entry.
    pub delivered_before: u8,
    /// How often of these its worker ended while it was stopping.
    pub interrupted: u8,
}

impl Delivery {
    /// Which delivery of its message this is.
    pub fn token(&self) -> u8 {
        self.counters.deliveries + self.delivered_before + 1
    }

    /// How many workers died with the message.
    pub fn crashes(&self) -> u8 {
        self.counters.crashes + self.delivered_before - self.interrupted
    }
}

/// One queue in Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Storage {
    /// The ready streams.
    pub entries: BTreeMap<Id, Entry>,
    /// The scheduled messages, each with the entry that it came from.
    pub later: Vec<(Id, Counters)>,
    /// The dead letters, each with the entry that it came from.
    pub dead: Vec<(Id, Reason)>,
    /// The index of workers: who has a lease, and whether it still runs.
    pub leases: BTreeMap<Session, bool>,
    /// The marks of the lives that were declared dead.
    pub lost: BTreeSet<Session>,
    /// The marks of the lives that have begun to stop.
    pub stopping: BTreeSet<Session>,
    /// The limit of each key, where there is one.
    pub gate: Option<Gate>,
    /// The unique key of all messages, where they have one.
    pub unique: Option<Unique>,
    /// How many entries each message has had, for their ids.
    copies: Vec<u8>,
}

impl Storage {
    /// With so many messages, each ready, or in the lane of one of so many keys. What has a unique key is to be sent.
    pub fn with(messages: u8, keys: u8, unique: Option<OnConflict>) -> Self {
        let gate = (keys > 0).then(|| Gate::new(keys));
        let copies = vec![0; usize::from(messages)];
        let mut storage = Self { gate, unique: unique.map(Unique::new), copies, ..Self::default() };
        for message in (0..messages).filter(|_| unique.is_none()) {
            storage.enqueue(message, Counters::default());
        }
        storage
    }

    /// Stores a message: ready, or in its lane where there is a limit.
    pub(crate) fn enqueue(&mut self, message: u8, counters: Counters) -> Place {
        match &mut self.gate {
            Some(gate) => {
                gate.enter(message, counters);
                Place::Lane(message)
            }
            None => Place::Entry(self.add(message, counters)),
        }
    }

    /// Notes where a message is now, where it has a unique key.
    pub(crate) fn moved(&mut self, from: Place, to: Place) {
        if let Some(unique) = &mut self.unique {
            unique.moved(from, to);
        }
    }

    /// `XADD`.
    pub(crate) fn add(&mut self, message: u8, counters: Counters) -> Id {
        let copy = &mut self.copies[usize::from(message)];
        let id = Id { message, copy: *copy };
        self.entries.insert(id, Entry { body: true, counters, group: Group::Unread });
        *copy += 1;
        id
    }

    /// `ZADD`.
    pub(crate) fn schedule(&mut self, id: Id, counters: Counters) {
        self.later.push((id, counters));
        self.later.sort_unstable_by_key(|(id, _)| *id);
    }

    /// `XREADGROUP`: delivers an entry that was never read.
    pub fn deliver(&mut self, id: Id, to: Session) -> Option<Delivery> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.group == Group::Unread)?;
        entry.group = Group::InFlight { to, times: 1, interrupted: 0 };
        Some(Delivery { id, counters: entry.counters, delivered_before: 0, interrupted: 0 })
    }

    /// `XDEL`.
    pub fn delete(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.body = false;
        }
        self.sweep(id);
    }

    /// `XACK`, whoever holds it.
    pub fn acknowledge(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.group = Group::Acknowledged;
        }
        self.sweep(id);
    }

    /// `done.lua` of a message that holds a slot or a unique key: whether it was settled now, and not before.
    pub fn end(&mut self, id: Id) -> bool {
        let was_in_flight = self.in_flight(id).is_some();
        self.delete(id);
        self.acknowledge(id);
        was_in_flight
    }

    /// An entry that is neither in the stream nor in the group is gone.
    fn sweep(&mut self, id: Id) {
        if self.entries.get(&id).is_some_and(|entry| !entry.body && entry.group == Group::Acknowledged) {
            self.entries.remove(&id);
        }
    }

    /// To whom an entry is in flight.
    pub fn in_flight(&self, id: Id) -> Option<Session> {
        match self.entries.get(&id)?.group {
            Group::InFlight { to, .. } => Some(to),
            Group::Unread | Group::Acknowledged => None,
        }
    }

    /// An entry as it is delivered now, also where its body is gone.
    pub fn as_delivered(&self, id: Id) -> Option<Delivery> {
        let entry = self.entries.get(&id)?;
        let Group::InFlight { times, interrupted, .. } = entry.group else { return None };
        Some(Delivery { id, counters: entry.counters, delivered_before: times - 1, interrupted })
    }

    /// `reschedule.lua`, without its question who holds the entry.
    pub fn retry(&mut self, id: Id, counters: Counters) {
        self.schedule(id, counters);
        self.moved(Place::Entry(id), Place::Later(id));
        self.acknowledge(id);
        self.delete(id);
    }

    /// `dead_letter.lua`, without its question who holds the entry.
    pub fn dead_letter(&mut self, id: Id, reason: Reason) {
        self.dead.push((id, reason));
        self.dead.sort_unstable_by_key(|(id, _)| *id);
        self.acknowledge(id);
        self.delete(id);
    }

    /// `release.lua`, without its question who holds the entry.
    pub fn release(&mut self, id: Id, counters: Counters) {
        let added = self.add(id.message, counters);
        self.moved(Place::Entry(id), Place::Entry(added));
        self.acknowledge(id);
        self.delete(id);
    }

    /// `promote.lua`, of one message whose time has come.
    pub fn promote(&mut self, id: Id) {
        if let Some(at) = self.later.iter().position(|(later, _)| *later == id) {
            let (_, counters) = self.later.remove(at);
            let place = self.enqueue(id.message, counters);
            self.moved(Place::Later(id), place);
        }
    }

    /// `register.lua`.
    pub fn register(&mut self, session: Session) {
        self.leases.insert(session, true);
    }

    /// `renew.lua`: whether the lease is held. One that is gone without its session having been declared dead is
    /// made again.
    pub fn renew(&mut self, session: Session) -> bool {
        let held = !self.lost.contains(&session);
        if held {
            self.leases.insert(session, true);
        }
        held
    }

    /// `stopping.lua`.
    pub fn note_stopping(&mut self, session: Session) {
        if self.leases.contains_key(&session) {
            self.stopping.insert(session);
        }
    }

    /// `deregister.lua`.
    pub fn deregister(&mut self, session: Session) {
        self.leases.remove(&session);
        self.stopping.remove(&session);
        if self.holders().contains(&session) {
            self.stopping.insert(session);
        }
    }

    /// A part of `recover.lua`.
    pub fn declare_dead(&mut self, session: Session) {
        self.leases.remove(&session);
        self.lost.insert(session);
    }

    /// Whether a session's lease runs.
    pub fn is_live(&self, session: Session) -> bool {
        self.leases.get(&session) == Some(&true)
    }

    /// `recover.lua`, of one entry that a dead worker holds: delivers it, where it still has a body.
    pub fn recover(&mut self, id: Id, to: Session) -> Option<Delivery> {
        let entry = self.entries.get_mut(&id)?;
        let Group::InFlight { to: holder, times, interrupted } = entry.group else { return None };
        if !entry.body {
            self.acknowledge(id);
            return None;
        }
        let interrupted = interrupted + u8::from(self.stopping.contains(&holder));
        entry.group = Group::InFlight { to, times: times + 1, interrupted };
        self.as_delivered(id)
    }

    /// The entries that are in flight, and to whom.
    pub fn all_in_flight(&self) -> impl Iterator<Item = (Id, Session)> {
        self.entries.iter().filter_map(|(id, entry)| match entry.group {
            Group::InFlight { to, .. } => Some((*id, to)),
            Group::Unread | Group::Acknowledged => None,
        })
    }

    /// The entries that no claim has read.
    pub fn unread(&self) -> impl Iterator<Item = Id> {
        self.entries.iter().filter(|(_, entry)| entry.group == Group::Unread).map(|(id, _)| *id)
    }

    /// Whether a success is settled by `done.lua`, in one step, as that of a message which holds something.
    pub fn ends_in_one_step(&self) -> bool {
        self.gate.is_some() || self.unique.is_some()
    }

    /// The scheduled messages that come when their time does: what follows another waits for that one's end.
    pub fn awaiting_their_time(&self) -> impl Iterator<Item = Id> {
        let follower = self.unique.as_ref().and_then(|unique| unique.follower);
        self.later.iter().map(|(id, _)| *id).filter(move |id| Some(*id) != follower)
    }

    /// The lives that hold something.
    pub fn holders(&self) -> BTreeSet<Session> {
        self.all_in_flight().map(|(_, session)| session).collect()
    }

    /// In how many places a message is stored.
    pub fn places(&self, message: u8) -> usize {
        let ready_or_in_flight = self.entries.keys();
        let scheduled = self.later.iter().map(|(id, _)| id);
        let dead = self.dead.iter().map(|(id, _)| id);
        let stored = ready_or_in_flight.chain(scheduled).chain(dead).map(|id| id.message);
        let waiting = self.gate.iter().flat_map(|gate| gate.lanes.iter().flatten()).map(|(waiting, _)| *waiting);
        stored.chain(waiting).filter(|stored| *stored == message).count()
    }
}
