//! What the seam promises, in the simplest form that can be compared: every message, and where it is.

use std::collections::{BTreeMap, BTreeSet};

use actor_core::Priority;
use actor_core::inspect::Counts;

/// Which of the workers that a sequence plays with. Each session of one has its own number.
pub(super) type Session = usize;
/// Which message, in the order of their sending.
pub(super) type Number = usize;

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ready, and never anything else before.
    Ready,
    /// Ready: it was released.
    Again,
    /// Scheduled for a time that has come: a broker may have noticed, or not yet.
    Due,
    /// Scheduled for a time that is far.
    Later,
    /// In flight, as this delivery, and so many workers died with it, or ended while they stopped.
    InFlight { to: Session, delivery: usize, crashes: u32, interruptions: u32 },
    /// A dead letter.
    Dead,
    /// Ended.
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

/// What a settlement asks for.
#[derive(Clone, Debug)]
pub(super) enum End {
    Done,
    RetryNow(Priority),
    RetryLater(Priority),
    Park(Priority),
    DeadLetter,
    Release,
}

/// The seam's promises.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pub(super) messages: Vec<Known>,
    /// Each session's lease, while it has one: whether it still runs.
    leases: BTreeMap<Session, bool>,
    /// Who has begun to stop, or stopped, with something in its hands.
    leaving: BTreeSet<Session>,
    /// Which message each stored copy is of. What is in flight has a copy's number as its delivery.
    copies: Vec<Number>,
}

impl Reference {
    pub(super) fn send(&mut self, priority: Priority, body: String, later: bool) {
        let place = if later { Place::Later } else { Place::Ready };
        self.messages.push(Known { priority, body, place, parked: false, suspect: false });
    }

    pub(super) fn register(&mut self, session: Session) {
        self.leases.insert(session, true);
    }

    /// Whether a lease is held, which prolongs it.
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
        for message in self.messages.iter_mut().filter(|message| message.place == Place::Later) {
            message.place = Place::Due;
        }
    }

    /// The highest priority of what is certainly ready.
    pub(super) fn highest(&self) -> Option<Priority> {
        let ready = self.messages.iter().filter(|message| matches!(message.place, Place::Ready | Place::Again));
        ready.map(|message| message.priority).max_by_key(|priority| rank(*priority))
    }

    /// A claim has delivered these, in this order. Says what is wrong with that, and which delivery each is.
    pub(super) fn claimed(&mut self, to: Session, in_flight: &[Number]) -> Result<Vec<usize>, String> {
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
        Ok(deliveries)
    }

    fn deliver(&mut self, to: Session, number: Number) {
        let delivery = self.copies.len();
        let message = &mut self.messages[number];
        (message.place, message.parked) = (Place::InFlight { to, delivery, crashes: 0, interruptions: 0 }, false);
        self.copies.push(number);
    }

    /// How many messages are certainly parked.
    pub(super) fn parked(&self) -> usize {
        self.messages.iter().filter(|message| message.parked && message.place == Place::Later).count()
    }

    /// These were delivered because they were parked, or in place of such. Says what is wrong with that, and which
    /// delivery each is.
    pub(super) fn unparked(&mut self, to: Session, delivered: &[Number]) -> Result<Vec<usize>, String> {
        let mut deliveries = Vec::new();
        for number in delivered {
            let message = &self.messages[*number];
            match message.place {
                Place::Later if message.parked => {}
                Place::Due => {}
                // It was released before these, which are ready behind it then.
                Place::Again => {
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

    /// A recovery has delivered these. Says which delivery each is, and how many workers died with it.
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

    /// Which message a delivery is of.
    pub(super) fn number(&self, delivery: usize) -> Number {
        self.copies[delivery]
    }

    /// Whether a settlement counts, with what follows from it.
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
            End::RetryLater(priority) => {
                (message.place, message.priority, message.body) = (Place::Later, *priority, body);
            }
            End::Park(priority) => {
                (message.place, message.priority, message.body) = (Place::Later, *priority, body);
            }
            End::DeadLetter => (message.place, message.body) = (Place::Dead, body),
            End::Release => (message.place, message.body) = (Place::Again, body),
        }
        true
    }

    /// Says what is wrong with a broker's counts.
    pub(super) fn compare(&self, counts: &Counts) -> Result<(), String> {
        let of =
            |wanted: fn(&Place) -> bool| self.messages.iter().filter(|message| wanted(&message.place)).count() as u64;
        let ready = of(|place| matches!(place, Place::Ready | Place::Again));
        let (due, later) = (of(|place| *place == Place::Due), of(|place| *place == Place::Later));
        let (in_flight, dead) =
            (of(|place| matches!(place, Place::InFlight { .. })), of(|place| *place == Place::Dead));
        let waiting =
            counts.ready + counts.scheduled == ready + due + later && (ready..=ready + due).contains(&counts.ready);
        if waiting && counts.in_flight == in_flight && counts.dead == dead {
            return Ok(());
        }
        Err(format!(
            "{ready} ready, {due} due, {later} later, {in_flight} in flight and {dead} dead, and not {counts:?}"
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
