//! The unique key that all messages have, and who holds it. Each method is a part of one script.

use std::collections::BTreeSet;

use crate::storage::{Counters, Id, Storage};

/// What becomes of a message while another one holds its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnConflict {
    /// It is not stored: the other one stands for it.
    Keep,
    /// It follows the one in flight. A further one is not stored.
    RunAgain,
}

/// Where the script that stores or moves a message notes that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// An entry of a ready stream, in flight or not.
    Entry(Id),
    /// Among the scheduled messages, by the entry that it came from.
    Later(Id),
    /// In its lane.
    Lane(u8),
}

/// What stands in Redis of a unique key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unique {
    /// What becomes of others.
    pub on_conflict: OnConflict,
    /// Who holds the key, and where it is noted to be.
    pub holder: Option<(u8, Place)>,
    /// What follows it: scheduled, and due once the key is given up.
    pub follower: Option<Id>,
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was stored, and holds the key or follows the holder.
    Stored {
        /// Whether the key was that of a message which is nowhere.
        taken_over: bool,
        /// Whether it follows the holder.
        follows: bool,
    },
    /// This other one stands for it.
    StoodFor(u8),
}

impl Unique {
    /// With a key that nobody holds.
    pub fn new(on_conflict: OnConflict) -> Self {
        Self { on_conflict, holder: None, follower: None }
    }

    /// Notes where a message is now that was elsewhere, if it holds the key.
    pub fn moved(&mut self, from: Place, to: Place) {
        if let Some((_, place)) = &mut self.holder
            && *place == from
        {
            *place = to;
        }
    }

    /// Gives up the key if it names this place. What follows holds it from now on, and is due.
    pub fn give_up(&mut self, at: Place) {
        if self.holder.is_some_and(|(_, place)| place == at) {
            self.let_go();
        }
    }

    /// Gives up the key, whoever holds it.
    pub fn let_go(&mut self) {
        self.holder = self.follower.take().map(|id| (id.message, Place::Later(id)));
    }
}

impl Storage {
    /// `store_unique.lua`. One rule of it is that the key of a message which is nowhere is free.
    pub fn send(&mut self, message: u8, takes_over: bool) -> Sent {
        let is_astray = self.holder_is_astray();
        let Some(unique) = &mut self.unique else { return Sent::StoodFor(message) };
        if is_astray && takes_over {
            unique.let_go();
        }
        let taken_over = is_astray && takes_over;
        let (holder, follower, on_conflict) = (unique.holder, unique.follower, unique.on_conflict);
        let Some((other, place)) = holder else {
            let place = self.enqueue(message, Counters::default());
            self.note_holder(message, place);
            return Sent::Stored { taken_over, follows: false };
        };
        let in_flight = matches!(place, Place::Entry(id) if self.in_flight(id).is_some());
        match (on_conflict, follower) {
            (OnConflict::RunAgain, Some(follower)) => Sent::StoodFor(follower.message),
            (OnConflict::RunAgain, None) if in_flight => {
                let id = Id { message, copy: 0 };
                self.schedule(id, Counters::default());
                if let Some(unique) = &mut self.unique {
                    unique.follower = Some(id);
                }
                Sent::Stored { taken_over, follows: true }
            }
            (OnConflict::Keep | OnConflict::RunAgain, _) => Sent::StoodFor(other),
        }
    }

    fn note_holder(&mut self, message: u8, place: Place) {
        if let Some(unique) = &mut self.unique {
            unique.holder = Some((message, place));
        }
    }

    /// Whether the key is held, and nothing is where its holder is noted to be.
    pub fn holder_is_astray(&self) -> bool {
        let holder = self.unique.as_ref().and_then(|unique| unique.holder);
        holder.is_some_and(|(_, place)| !self.is_there(place))
    }

    /// Whether a message is at a place.
    fn is_there(&self, place: Place) -> bool {
        match place {
            Place::Entry(id) => self.entries.contains_key(&id),
            Place::Later(id) => self.later.iter().any(|(later, _)| *later == id),
            Place::Lane(message) => {
                self.gate.iter().flat_map(|gate| gate.lanes.iter().flatten()).any(|(waiting, _)| *waiting == message)
            }
        }
    }

    /// `repair_unique.lua`.
    pub fn repair_unique(&mut self) {
        let is_astray = self.holder_is_astray();
        if let Some(unique) = self.unique.as_mut().filter(|_| is_astray) {
            unique.let_go();
        }
    }

    /// Redis loses a message, and no more: its key stays.
    pub fn lose(&mut self, message: u8) {
        self.entries.retain(|id, _| id.message != message);
        self.later.retain(|(id, _)| id.message != message);
        if let Some(unique) = &mut self.unique {
            unique.follower = unique.follower.filter(|id| id.message != message);
        }
    }

    /// How many messages are there that are no dead letters, besides the one that follows.
    pub fn of_key(&self) -> usize {
        let Some(unique) = &self.unique else { return 0 };
        let stored = self.entries.keys().chain(self.later.iter().map(|(id, _)| id)).map(|id| id.message);
        let waiting = self.gate.iter().flat_map(|gate| gate.lanes.iter().flatten()).map(|(waiting, _)| *waiting);
        let follower = unique.follower.map(|id| id.message);
        let messages: BTreeSet<u8> = stored.chain(waiting).filter(|message| Some(*message) != follower).collect();
        messages.len()
    }
}
