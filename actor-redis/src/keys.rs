//! The names of everything that the broker keeps in Redis. `docs/redis-keys.md` says what is in them.

use actor_core::{Key, MessageId, Priority, QueueName};

/// The consumer group of every ready stream.
pub(crate) const GROUP: &str = "workers";
/// The field of a stream entry that holds a message.
pub(crate) const MESSAGE: &[u8] = b"m";
/// The field beside it that says that a worker has died with the message, as an entry before this one.
pub(crate) const SUSPECT: &[u8] = b"suspect";
/// The field that says what the message holds of its queue's limits.
pub(crate) const SLOT: &[u8] = b"k";
/// The field that says which unique key the message holds.
pub(crate) const UNIQUE: &[u8] = b"u";
/// The member of `workers` that says that the queue is paused. Every worker's id has a colon.
pub(crate) const PAUSED: &str = "paused";
/// How the other members of `workers` end that are no worker's lease. A worker's id ends with 32 digits.
pub(crate) const MARKS: [&str; 3] = [":dead", ":stopping", ":lost"];

/// One of a queue's ready streams, in the order in which they are in flight: each priority has one for what
/// was released, before the one for what was never in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Level {
    HighReleased,
    High,
    NormalReleased,
    Normal,
    LowReleased,
    Low,
}

/// How many levels there are.
pub(crate) const LEVELS: usize = 6;

/// What the ranks of deliveries have that were claimed in the order of the levels.
const IN_TURN: u8 = 0x40;

impl Level {
    pub(crate) const ALL: [Self; LEVELS] =
        [Self::HighReleased, Self::High, Self::NormalReleased, Self::Normal, Self::LowReleased, Self::Low];

    pub(crate) fn of(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }

    /// The level at this place.
    pub(crate) fn at(place: u8) -> Option<Self> {
        Self::ALL.get(usize::from(place)).copied()
    }

    /// The rank of a delivery of this level: what was claimed out of turn starts before all others.
    pub(crate) fn rank(self, out_of_turn: bool) -> u8 {
        if out_of_turn { self.place() } else { IN_TURN | self.place() }
    }

    /// The lowest level to ask once this one has no more: both of the next priority; of the last, itself.
    pub(crate) fn below(self) -> Self {
        match self {
            Self::HighReleased => Self::High,
            Self::High | Self::NormalReleased => Self::Normal,
            Self::Normal | Self::LowReleased | Self::Low => Self::Low,
        }
    }

    pub(crate) fn place(self) -> u8 {
        self as u8
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HighReleased => "high:released",
            Self::High => "high",
            Self::NormalReleased => "normal:released",
            Self::Normal => "normal",
            Self::LowReleased => "low:released",
            Self::Low => "low",
        }
    }
}

/// The keys of one queue. They share a hash tag, so that a script may touch all of them in a cluster.
#[derive(Debug)]
pub(crate) struct Keys {
    ready: [String; LEVELS],
    /// What those begin with, and the outboxes.
    pub(crate) ready_prefix: String,
    pub(crate) outbox_prefix: String,
    pub(crate) scheduled: String,
    pub(crate) scheduled_bodies: String,
    /// What scheduled messages take of their lanes.
    pub(crate) scheduled_lanes: String,
    pub(crate) dead: String,
    pub(crate) dead_bodies: String,
    pub(crate) dead_reasons: String,
    pub(crate) dead_pruned: String,
    pub(crate) workers: String,
    /// What wakes a worker that waits.
    pub(crate) wake: String,
    /// What scheduled messages wait for a worker with, as a hint.
    pub(crate) parked: String,
    /// What limits the queue, and what is used of it.
    pub(crate) gate: String,
    /// What is known of lanes: those that are open, closed, full and resting, what runs and waits of each, until when its
    /// rate is used up, and limits of its own.
    pub(crate) lanes: [String; 8],
    /// Which messages were cancelled in flight.
    pub(crate) cancelled: String,
    /// Who holds each unique key, what follows the holder, the bodies of those that wait in lanes, and the keys of those
    /// that are scheduled.
    pub(crate) unique: [String; 4],
    /// What the keys begin with that say what was stored within a window, and with an idempotency key.
    pub(crate) windows: [String; 2],
    pub(crate) schedules: ScheduleKeys,
    /// The queues for which messages wait in an outbox.
    pub(crate) outboxes: String,
    /// The last message that arrived from each other queue's outbox.
    pub(crate) arrivals: String,
    /// What the keys begin with that hold what is kept of a message, and how it ended; and the channels that say that it has.
    state_prefix: String,
    result_prefix: String,
    ended_prefix: String,
}

/// The keys of a queue's schedules.
#[derive(Debug)]
pub(crate) struct ScheduleKeys {
    /// When each is due.
    pub(crate) due: String,
    pub(crate) specs: String,
    pub(crate) states: String,
    pub(crate) names: String,
    /// When each was declared last.
    pub(crate) declared: String,
    /// For how long workers have declared schedules.
    pub(crate) clock: String,
    /// The messages whose schedules wait for their settlement.
    pub(crate) open: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str, queue: &QueueName) -> Self {
        let tag = tag(namespace, queue);
        let key = |name: &str| format!("{{{tag}}}:{name}");
        Self {
            ready: Level::ALL.map(|level| key(&format!("ready:{}", level.name()))),
            ready_prefix: key("ready:"),
            outbox_prefix: key("outbox:"),
            scheduled: key("scheduled"),
            scheduled_bodies: key("scheduled:bodies"),
            scheduled_lanes: key("scheduled:lanes"),
            dead: key("dead"),
            dead_bodies: key("dead:bodies"),
            dead_reasons: key("dead:reasons"),
            dead_pruned: key("dead:pruned"),
            workers: key("workers"),
            wake: key("wake"),
            parked: key("parked"),
            gate: key("gate"),
            lanes: ["open", "closed", "full", "resting", "running", "waiting", "allowed", "limits"]
                .map(|name| key(&format!("lanes:{name}"))),
            cancelled: key("cancelled"),
            unique: ["unique", "unique:next", "lanes:bodies", "scheduled:unique"].map(key),
            windows: ["unique:window:", "idempotent:"].map(key),
            schedules: ScheduleKeys {
                due: key("schedules"),
                specs: key("schedules:specs"),
                states: key("schedules:states"),
                names: key("schedules:names"),
                declared: key("schedules:declared"),
                clock: key("schedules:clock"),
                open: key("schedules:open"),
            },
            outboxes: key("outboxes"),
            arrivals: key("arrivals"),
            state_prefix: key("state:"),
            result_prefix: key("result:"),
            ended_prefix: key("ended:"),
        }
    }

    pub(crate) fn ready(&self, level: Level) -> &str {
        &self.ready[usize::from(level.place())]
    }

    /// The messages that wait to be stored in another queue.
    pub(crate) fn outbox(&self, to: &QueueName) -> String {
        format!("{}{to}", self.outbox_prefix)
    }

    /// What is kept of a message beside it.
    pub(crate) fn state(&self, id: MessageId) -> String {
        format!("{}{id}", self.state_prefix)
    }

    /// How a message ended.
    pub(crate) fn result(&self, id: MessageId) -> String {
        format!("{}{id}", self.result_prefix)
    }

    /// The channel that says that a message has ended.
    pub(crate) fn ended(&self, id: MessageId) -> String {
        format!("{}{id}", self.ended_prefix)
    }

    /// The level of a ready stream's key.
    pub(crate) fn level(&self, key: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().find(|level| self.ready(*level).as_bytes() == key)
    }
}

/// The keys of one limiter and key. Those of one limiter share a hash tag.
#[derive(Debug)]
pub(crate) struct LimiterKeys {
    /// When all would be used up that a bucket has let through.
    pub(crate) bucket: String,
    /// When each was let through a window.
    pub(crate) window: String,
    /// Who holds permits, until when; and with which fencing tokens and costs.
    pub(crate) permits: [String; 2],
}

impl LimiterKeys {
    pub(crate) fn new(namespace: &str, limiter: &str, key: &Key) -> Self {
        let tag = limiter_tag(namespace, limiter);
        let key = |name: &str| format!("{{{tag}}}:{name}:{key}");
        Self { bucket: key("bucket"), window: key("window"), permits: ["permits", "holders"].map(key) }
    }
}

/// What all keys of a limiter have in braces. No queue has a colon in its name.
pub(crate) fn limiter_tag(namespace: &str, limiter: &str) -> String {
    format!("{namespace}:limiter:{limiter}")
}

/// What all keys of a queue have in braces. It alone decides which slot of a cluster they are in.
pub(crate) fn tag(namespace: &str, queue: &QueueName) -> String {
    format!("{namespace}:{queue}")
}

/// The set of a namespace's queues. It has a slot of its own.
pub(crate) fn queues(namespace: &str) -> String {
    format!("{{{namespace}}}:queues")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_queue_share_one_hash_tag() -> Result<(), actor_core::NameError> {
        let keys = Keys::new("actor", &"mail".parse()?);
        assert_eq!(keys.ready(Level::HighReleased), "{actor:mail}:ready:high:released");
        assert_eq!(keys.scheduled_bodies, "{actor:mail}:scheduled:bodies");
        assert_eq!(keys.workers, "{actor:mail}:workers");
        assert_eq!(keys.level(b"{actor:mail}:ready:low"), Some(Level::Low));
        assert_eq!(keys.level(b"{actor:mail}:dead"), None);
        let keys = LimiterKeys::new("actor", "ftp", &Key::new("a}{b").unwrap_or_default());
        assert_eq!(keys.permits, ["{actor:limiter:ftp}:permits:a}{b", "{actor:limiter:ftp}:holders:a}{b"]);
        Ok(())
    }
}
