//! The scripts of what follows from a settlement, and of the outboxes by which messages reach other queues.

use std::time::Duration;

use actor_core::broker::Enqueue;
use actor_core::settlement::Consequence;
use actor_core::{MessageId, QueueName};
use redis::Value;

use super::results::kept_ms;
use super::unique::more;
use super::{CHECK_EVERY, Call, Held, Source, before_ready, gated, holding, whole_ms};
use crate::keys::{GROUP, Keys, Level};

static OUTBOXES: Source = source!("outboxes");
static AUDIT_OUTBOXES: Source = source!("audit_outboxes");
static OUTBOX: Source = source!("bounded", "outbox");
static SENT: Source = source!("sent");
static ARRIVE: Source = source!("own_keys", "unique", "ungated", "arrive_begin", "store_unique", "arrive_end");
static ARRIVE_GATED: Source =
    source!("own_keys", "unique", "gate", "free_slots", "into_lanes", "arrive_begin", "store_unique", "arrive_end");

/// A message that follows is a command of its own: so that one call of a script has a thousand at most.
const LEAST_WEIGHT: usize = 1 << 10;

/// What a settling script does where a message was settled.
#[derive(Clone, Debug)]
pub(crate) enum Follows<'a> {
    /// A message of this queue is ready.
    Ready(&'a Enqueue),
    /// A message goes to a queue, by the outbox.
    Send(&'a QueueName, &'a Enqueue),
    /// The schedule of this message may store its next one.
    Tick(MessageId),
    /// What is kept of this message is forgotten.
    Forget(MessageId),
    /// How this message ended is kept for so long.
    Keep(MessageId, &'a [u8], Duration),
}

impl<'a> Follows<'a> {
    /// What follows from a message of `queue`; `None` where this broker does not know it.
    pub(crate) fn of(queue: &QueueName, consequences: &'a [Consequence]) -> Option<Vec<Self>> {
        // What waits for its time, in a lane or for a key goes by the outbox, also to its own queue, and then so do those
        // before and behind it: they keep their order.
        let is_plain = |consequence: &Consequence| match consequence {
            Consequence::Send { queue: to, message } => to != queue || message.is_plain(),
            _ => true,
        };
        let all_plain = consequences.iter().all(is_plain);
        let follows = |consequence: &'a Consequence| match consequence {
            Consequence::Send { queue: to, message } if to == queue && all_plain => Some(Self::Ready(message)),
            Consequence::Send { queue, message } => Some(Self::Send(queue, message)),
            Consequence::EndTick(id) => Some(Self::Tick(*id)),
            Consequence::ForgetState(id) => Some(Self::Forget(*id)),
            Consequence::KeepResult { id, record, keep } => Some(Self::Keep(*id, record, *keep)),
            _ => None,
        };
        consequences.iter().map(follows).collect()
    }

    /// How many bytes it writes, and as many at least as take Redis about as long as it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Ready(message) | Self::Send(_, message) => message.body.len().max(LEAST_WEIGHT),
            Self::Keep(_, record, _) => record.len().max(LEAST_WEIGHT),
            Self::Tick(_) | Self::Forget(_) => LEAST_WEIGHT,
        }
    }

    /// The key that it alone writes.
    fn own_key(&self, keys: &Keys) -> Option<String> {
        match self {
            Self::Forget(id) => Some(keys.state(*id)),
            Self::Keep(id, ..) => Some(keys.result(*id)),
            Self::Ready(_) | Self::Send(..) | Self::Tick(_) => None,
        }
    }
}

/// Whether something follows from any of these messages.
pub(super) fn follows(held: &[Option<Held<'_>>]) -> bool {
    held.iter().flatten().any(|held| !held.follows.is_empty())
}

/// The queues to which outboxes are written, each once.
fn targets<'a>(held: &[Option<Held<'a>>]) -> Vec<&'a QueueName> {
    let mut targets = Vec::new();
    for follows in held.iter().flatten().flat_map(|held| &held.follows) {
        if let Follows::Send(to, _) = follows
            && !targets.contains(to)
        {
            targets.push(to);
        }
    }
    targets
}

/// The keys that are written by what follows. A script must name them, or a cluster that moves their slot would refuse
/// halfway.
pub(super) fn follow_keys(keys: &Keys, held: &[Option<Held<'_>>]) -> Vec<String> {
    let outboxes = targets(held).into_iter().map(|to| keys.outbox(to));
    let own = held.iter().flatten().flat_map(|held| &held.follows).filter_map(|follows| follows.own_key(keys));
    [keys.outboxes.clone(), keys.schedules.open.clone()].into_iter().chain(outboxes).chain(own).collect()
}

/// Adds to a call what follows from its messages.
pub(super) fn write_follows(call: &mut Call, keys: &Keys, held: &[Option<Held<'_>>]) {
    let (command, targets) = (&mut call.command, targets(held));
    command.arg(&keys.ready_prefix);
    let mut count = 1;
    // The place of the last key that one alone writes.
    let mut own = targets.len();
    for (index, held) in held.iter().enumerate() {
        for follows in held.iter().flat_map(|held| &held.follows) {
            let number = index + 1;
            own += usize::from(follows.own_key(keys).is_some());
            count += match follows {
                Follows::Ready(message) => {
                    let level = Level::of(message.priority).name();
                    command.arg((number, "ready", 2, level, &*message.body));
                    5
                }
                Follows::Send(queue, message) => {
                    let at = targets.iter().position(|to| to == queue).map_or(0, |at| at + 1);
                    command.arg((number, "send", 7, at, queue.as_str()));
                    write_message(command, message);
                    10
                }
                Follows::Tick(id) => {
                    command.arg((number, "tick", 1, id.to_string()));
                    4
                }
                Follows::Forget(_) => {
                    command.arg((number, "forget", 1, own));
                    4
                }
                Follows::Keep(id, record, keep) => {
                    command.arg((number, "keep", 4, own, keys.ended(*id), kept_ms(*keep), *record));
                    7
                }
            };
        }
    }
    command.arg((count, own + 2));
}

fn write_message(command: &mut redis::Cmd, message: &Enqueue) {
    let key = message.unique.as_deref().map_or("", |unique| unique.key.as_str());
    let level = Level::of(message.priority).place();
    command.arg((message.id.to_string(), level, key, more(message), &*message.body));
}

/// A message that waits in an outbox.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The number of its entry.
    pub(crate) number: String,
    id: Vec<u8>,
    level: Vec<u8>,
    unique: Vec<u8>,
    /// What else it says, as `store_unique.lua` takes it. Its delay counts from when it was noted.
    more: Vec<u8>,
    body: Vec<u8>,
}

impl Outgoing {
    /// Whether it waits in a lane of its queue.
    pub(crate) fn is_laned(&self) -> bool {
        self.more.splitn(7, |byte| *byte == b' ').nth(5).is_some_and(|cost| cost != b"-")
    }

    fn read((number, fields): (String, Vec<Vec<u8>>), now_ms: u64) -> Option<Self> {
        let [_, id, _, level, _, unique, _, more, _, body] = <[_; 10]>::try_from(fields).ok()?;
        let noted_ms: u64 = number.split('-').next()?.parse().ok()?;
        let more = shortened(more, now_ms.saturating_sub(noted_ms));
        Some(Self { number, id, level, unique, more, body })
    }
}

/// What a message says, with so many ms less to wait.
fn shortened(more: Vec<u8>, gone_ms: u64) -> Vec<u8> {
    let digits = more.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (delay, rest) = more.split_at(digits);
    match std::str::from_utf8(delay).ok().and_then(|delay| delay.parse::<u64>().ok()) {
        Some(delay @ 1..) => [delay.saturating_sub(gone_ms).to_string().as_bytes(), rest].concat(),
        _ => more,
    }
}

/// Counts what waits in each outbox.
pub(crate) fn outboxes(keys: &Keys) -> Call {
    OUTBOXES.call(&[&*keys.outboxes], &keys.outbox_prefix)
}

/// Finds the outboxes for these queues that hold messages and are not listed, and lists them again where `repairs`.
pub(crate) fn audit_outboxes(keys: &Keys, queues: &[QueueName], repairs: bool) -> Call {
    let mut call = AUDIT_OUTBOXES.call(&[&*keys.outboxes], (&keys.outbox_prefix, u8::from(repairs)));
    for queue in queues {
        call.command.arg(queue.as_str());
    }
    call
}

/// Reads what waits for a queue.
pub(crate) fn outbox(keys: &Keys, to: &QueueName, limit: usize) -> Call {
    OUTBOX.call(&[&*keys.outbox(to)], limit)
}

/// The messages, the oldest first.
pub(crate) fn read_outbox(answer: &Value) -> Option<Vec<Outgoing>> {
    let (now_ms, entries) = redis::from_redis_value_ref::<(u64, Vec<(String, Vec<Vec<u8>>)>)>(answer).ok()?;
    entries.into_iter().map(|entry| Outgoing::read(entry, now_ms)).collect()
}

/// Stores messages of `from`'s outbox, each once.
pub(crate) fn arrive(keys: &Keys, is_gated: bool, from: &QueueName, messages: &[Outgoing]) -> Call {
    let [windows, idempotent] = &keys.windows;
    let args = (GROUP, whole_ms(CHECK_EVERY), windows, idempotent, 1);
    let before = before_ready(keys, &[]);
    let (source, mut all) = match is_gated {
        true => (&ARRIVE_GATED, holding(keys, gated(keys, before))),
        false => (&ARRIVE, holding(keys, before)),
    };
    all.push(&keys.arrivals);
    let mut call = source.call(&all, args);
    for Outgoing { id, level, unique, more, body, .. } in messages {
        call.command.arg((id, level, body, unique, more));
    }
    let numbers: Vec<_> = messages.iter().map(|message| &message.number).collect();
    call.command.arg((numbers, from.as_str(), messages.len(), 1));
    call
}

/// How many had arrived before, and what became of those behind them, up to the first that was refused.
pub(crate) fn arrived(answer: Value) -> Option<(usize, Vec<Value>)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Int(before), Value::Array(stored)] = <[_; 2]>::try_from(parts).ok()? else { return None };
    Some((usize::try_from(before).ok()?, stored))
}

/// Removes messages from an outbox. Answers how many are left.
pub(crate) fn sent(keys: &Keys, to: &QueueName, messages: &[Outgoing]) -> Call {
    let mut call = SENT.call(&[&*keys.outbox(to), &keys.outboxes], to.as_str());
    for message in messages {
        call.command.arg(&message.number);
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_counts_from_when_it_was_noted() {
        for (more, gone_ms, left) in [
            ("", 5, ""),
            ("0 keep - 0 0 - ", 5, "0 keep - 0 0 - "),
            ("100 keep - 0 0 1 lane", 40, "60 keep - 0 0 1 lane"),
            ("100 keep - 0 0 1 lane", 400, "0 keep - 0 0 1 lane"),
        ] {
            assert_eq!(shortened(more.into(), gone_ms), left.as_bytes());
        }
    }
}
