//! What `Broker` promises, in the simplest comparable form: each message, and where it is.

use std::collections::{BTreeMap, BTreeSet};

use actor_core::Priority;
use actor_core::inspect::Counts;

/// A worker of a sequence. Each of its sessions has its own number.
pub(super) type Session = usize;
/// A message, numbered in the order of sending.
pub(super) type Number = usize;

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ready, and never anything else before.
    Ready,
    /// Ready, after a release: among such no order is promised.
    Again,
    /// Scheduled and due: the broker may have moved it, or not yet.
    Due,
    /// Scheduled for the far future.
    Scheduled,
    /// In flight as this delivery, with the number of workers that died with it, and that ended while stopping.
    InFlight { to: Session, delivery: usize, crashes: u32, interruptions: u32 },
    /// A dead letter.
    Dead,
    /// Completed.
    Ended,
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) priority: Priority,
    pub(super) body: String,
    pub(super) place: Place,
    /// Whether it is scheduled because it was parked.
    pub(super) parked: bool,
    /// Whether a worker has died with it.
    pub(super) suspect: bool,
}

/// The settlement of a delivery.
#[derive(Clone, Debug)]
pub(super) enum End {
    Done,
    RetryNow(Priority),
    RetryScheduled(Priority),
    Park(Priority),
    DeadLetter,
    Release,
}

/// The reference.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pub(super) messages: Vec<Known>,
    /// Each session's lease, if it has one: whether it still holds.
    leases: BTreeMap<Session, bool>,
    /// The sessions that have begun to stop while holding something.
    leaving: BTreeSet<Session>,
    /// The message of each stored copy. A copy's number identifies its deliveries.
    copies: Vec<Number>,
}

impl Reference {
    pub(super) fn send(&mut self, priority: Priority, body: String, scheduled: bool) {
        let place = if scheduled { Place::Scheduled } else { Place::Ready };
        self.messages.push(Known { priority, body, place, parked: false, suspect: false });
    }

    pub(super) fn register(&mut self, session: Session) {
        self.leases.insert(session, true);
    }

    /// Whether a lease is held. If so, it is renewed.
    pub(super) fn renew(&mut self, session: Session) -> bool {
        self.leases.get_mut(&session).map(|runs| *runs = true).is_some()
    }

    pub(super) fn end_lease(&mut self, session: Session) {
        if let Some(runs) = self.leases.get_mut(&session) {
            *runs = false;
        }
    }

    pub(super) fn stopping(&mut self, session: Session) {
        if self.leases.contains_key(&session) {
            self.leaving.insert(session);
        }
    }

    pub(super) fn deregister(&mut self, session: Session) {
        self.leases.remove(&session);
        if self.holds(session) {
            self.leaving.insert(session);
        } else {
            self.leaving.remove(&session);
        }
    }

    fn holds(&self, session: Session) -> bool {
        self.messages.iter().any(|message| matches!(message.place, Place::InFlight { to, .. } if to == session))
    }

    fn sessions(&self, session: Session) -> bool {
        self.leases.get(&session) == Some(&true)
    }

    pub(super) fn make_due(&mut self) {
        for message in self.messages.iter_mut().filter(|message| message.place == Place::Scheduled) {
            message.place = Place::Due;
        }
    }

    /// The highest priority that is certainly ready.
    pub(super) fn highest(&self) -> Option<Priority> {
        let ready = self.messages.iter().filter(|message| matches!(message.place, Place::Ready | Place::Again));
        ready.map(|message| message.priority).max_by_key(|priority| rank(*priority))
    }

    /// A claim delivered these, in this order. Returns what is wrong with that, or the number of each delivery.
    pub(super) fn claimed(&mut self, to: Session, in_flight: &[Number], max: usize) -> Result<Vec<usize>, String> {
        if let (Some(first), Some(highest)) = (in_flight.first(), self.highest())
            && rank(self.messages[*first].priority) < rank(highest)
        {
            return Err(format!("message {first} was delivered before one of {highest:?} priority"));
        }
        let mut deliveries = Vec::new();
        for number in in_flight {
            let message = &self.messages[*number];
            match message.place {
                Place::Ready => {
                    let before = self.messages[..*number]
                        .iter()
                        .position(|other| other.place == Place::Ready && other.priority == message.priority);
                    if let Some(before) = before {
                        return Err(format!(
                            "message {number} was delivered before {before}, which was sent before it"
                        ));
                    }
                }
                Place::Again | Place::Due => {}
                ref place => return Err(format!("message {number} was in flight, and is {place:?}")),
            }
            deliveries.push(self.copies.len());
            self.deliver(to, *number);
        }
        if let (Some(first), true) = (in_flight.first(), in_flight.len() == max) {
            self.put_back(rank(self.messages[*first].priority));
        }
        Ok(deliveries)
    }

    /// A claim may have been given more of lower priorities than it was asked for, and have put it back.
    fn put_back(&mut self, below: u8) {
        let is_below = |message: &&mut Known| message.place == Place::Ready && rank(message.priority) < below;
        self.messages.iter_mut().filter(is_below).for_each(|message| message.place = Place::Again);
    }

    fn deliver(&mut self, to: Session, number: Number) {
        let delivery = self.copies.len();
        let message = &mut self.messages[number];
        (message.place, message.parked) = (Place::InFlight { to, delivery, crashes: 0, interruptions: 0 }, false);
        self.copies.push(number);
    }

    /// How many messages are certainly parked.
    pub(super) fn parked(&self) -> usize {
        self.messages.iter().filter(|message| message.parked && message.place == Place::Scheduled).count()
    }

    /// These were delivered because they were parked, or in place of such. Returns what is wrong with that, or the
    /// number of each delivery.
    pub(super) fn unparked(&mut self, to: Session, delivered: &[Number]) -> Result<Vec<usize>, String> {
        let mut deliveries = Vec::new();
        for number in delivered {
            let message = &self.messages[*number];
            match message.place {
                Place::Scheduled if message.parked => {}
                Place::Due => {}
                // It was released before these, by a worker or as the surplus of a read: they are then ready behind it.
                Place::Ready | Place::Again => {
                    for parked in self.messages.iter_mut().filter(|message| message.parked) {
                        parked.place = Place::Due;
                    }
                }
                ref place => return Err(format!("message {number} was unparked, and is {place:?}")),
            }
            deliveries.push(self.copies.len());
            self.deliver(to, *number);
        }
        Ok(deliveries)
    }

    /// The messages that a session may recover.
    pub(super) fn left_behind(&self, by: Session) -> Vec<Number> {
        let is_left = |message: &Known| match message.place {
            Place::InFlight { to, .. } => to != by && !self.sessions(to),
            _ => false,
        };
        if !self.sessions(by) {
            return Vec::new();
        }
        (0..self.messages.len()).filter(|number| is_left(&self.messages[*number])).collect()
    }

    /// Whether a worker has died with this message.
    pub(super) fn is_suspect(&self, number: Number) -> bool {
        self.messages[number].suspect
    }

    /// A recovery delivered these. Returns the number of each delivery, and how many workers died with it.
    pub(super) fn recovered(&mut self, by: Session, in_flight: &[Number]) -> Vec<(usize, u32, u32)> {
        if self.sessions(by) {
            self.leases.retain(|_, runs| *runs);
        }
        let mut taken = Vec::new();
        for number in in_flight {
            let Known { place, suspect, .. } = &mut self.messages[*number];
            if let Place::InFlight { to, delivery, crashes, interruptions } = place {
                *if self.leaving.contains(to) { &mut *interruptions } else { &mut *crashes } += 1;
                *suspect |= *crashes > 0;
                *to = by;
                taken.push((*delivery, *crashes, *interruptions));
            }
        }
        if self.sessions(by) {
            let left = |session: &Session| self.leases.contains_key(session) || self.holds(*session);
            self.leaving = self.leaving.iter().copied().filter(left).collect();
        }
        taken
    }

    /// The message of a delivery.
    pub(super) fn number(&self, delivery: usize) -> Number {
        self.copies[delivery]
    }

    /// Whether a settlement applies, and its consequences.
    pub(super) fn settle(&mut self, by: Session, delivery: usize, end: &End, body: String) -> bool {
        let message = &mut self.messages[self.copies[delivery]];
        let holder = match message.place {
            Place::InFlight { to, delivery: in_flight, .. } if in_flight == delivery => to,
            _ => return false,
        };
        if !matches!(end, End::Done) && holder != by {
            return false;
        }
        message.parked = matches!(end, End::Park(_));
        match end {
            End::Done => message.place = Place::Ended,
            End::RetryNow(priority) => (message.place, message.priority, message.body) = (Place::Due, *priority, body),
            End::RetryScheduled(priority) => {
                (message.place, message.priority, message.body) = (Place::Scheduled, *priority, body);
            }
            End::Park(priority) => {
                (message.place, message.priority, message.body) = (Place::Scheduled, *priority, body);
            }
            End::DeadLetter => (message.place, message.body) = (Place::Dead, body),
            End::Release => (message.place, message.body) = (Place::Again, body),
        }
        true
    }

    /// Compares with a broker's counts.
    pub(super) fn compare(&self, counts: &Counts) -> Result<(), String> {
        let of =
            |wanted: fn(&Place) -> bool| self.messages.iter().filter(|message| wanted(&message.place)).count() as u64;
        let ready = of(|place| matches!(place, Place::Ready | Place::Again));
        let (due, scheduled) = (of(|place| *place == Place::Due), of(|place| *place == Place::Scheduled));
        let (in_flight, dead) =
            (of(|place| matches!(place, Place::InFlight { .. })), of(|place| *place == Place::Dead));
        let waiting =
            counts.ready + counts.scheduled == ready + due + scheduled && (ready..=ready + due).contains(&counts.ready);
        if waiting && counts.in_flight == in_flight && counts.dead == dead {
            return Ok(());
        }
        Err(format!(
            "{ready} ready, {due} due, {scheduled} scheduled, {in_flight} in flight and {dead} dead, and not {counts:?}"
        ))
    }
}

pub(super) fn rank(priority: Priority) -> u8 {
    match priority {
        Priority::High => 2,
        Priority::Low => 0,
        Priority::Normal => 1,
    }
}
