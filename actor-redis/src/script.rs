//! The scripts. This file and those in `script/` alone know the order of their arguments and how they answer.

use std::sync::LazyLock;
use std::time::Duration;

use actor_core::broker::Enqueue;
use actor_core::{MessageId, Priority};
use redis::{Cmd, Script, ToRedisArgs, Value};

use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;
use crate::slot::lane_text;

/// Workers check for due messages at least this often. What is due sooner wakes one of them.
pub(crate) const CHECK_EVERY: Duration = Duration::from_secs(15);
/// A message that is scheduled later than this is scheduled for this: 100 years. A score is a
/// floating-point number, exact only up to 2^53.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;
/// How many dead workers one recovery handles.
const DEAD_WORKERS: usize = 100;
/// Of how many cancelled messages one renewal tells at most. Those that are left are told by the next.
const MOST_HEARD: usize = 1_000;
/// How long a worker may take to stop, for its death to be no crash. It only bounds what marks may be left.
const STOPPING_STANDS: Duration = Duration::from_secs(24 * 3600);
/// How long the index of what is parked stands after it was last written to. By then all of it was due, and is
/// parked again or done.
const PARKED_STANDS: Duration = Duration::from_secs(3600);

/// A call of a script, ready to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: Cmd,
    pub(crate) source: &'static str,
}

struct Source {
    text: &'static str,
    script: LazyLock<Script>,
}

/// A script's text, after that of what it uses.
macro_rules! source {
    ($($name:literal),+) => {{
        const TEXT: &str = concat!($(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lua/", $name, ".lua"))),+);
        Source { text: TEXT, script: std::sync::LazyLock::new(|| redis::Script::new(TEXT)) }
    }};
}

/// A script that settles, which also frees what the messages held that it settled.
macro_rules! freeing {
    ($name:literal $(with $used:literal)?) => {
        source!(
            "cancelled",
            "bounded",
            "unique",
            "gate",
            "free_slots",
            $($used,)?
            "stored_as",
            "settle_begin",
            $name,
            "settle_end"
        )
    };
}

/// A script that settles, which frees what the messages held, and does what follows from them.
macro_rules! following {
    ($name:literal) => {
        source!(
            "own_keys",
            "cancelled",
            "bounded",
            "unique",
            "gate",
            "free_slots",
            "stored_as",
            "follow_begin",
            "settle_begin",
            $name,
            "settle_end",
            "follow_end"
        )
    };
}

static OPEN: Source = source!("open");
static SCHEDULE: Source = source!("schedule");
static PROMOTE: Source = source!("bounded", "unique", "gate", "into_lanes", "promote");
static REGISTER: Source = source!("register");
static RENEW: Source = source!("renew");
static STOPPING: Source = source!("stopping");
static DEREGISTER: Source = source!("deregister");
static RECOVER: Source = source!("cancelled", "bounded", "recover");
static UNPARK: Source = source!("bounded", "unique", "gate", "take_slot", "unpark");
static RESCHEDULE: Source = source!("cancelled", "stored_as", "reschedule");
static RESCHEDULE_FREEING: Source = freeing!("reschedule");
static DEAD_LETTER: Source = source!("cancelled", "bounded", "dead_letter");
static DEAD_LETTER_FREEING: Source = freeing!("dead_letter");
static DEAD_LETTER_FOLLOWING: Source = following!("dead_letter");
static RELEASE: Source = source!("cancelled", "unique", "gate", "free_slots", "drop_slots", "release");

mod audit;
mod control;
mod follow;
mod forms;
mod inspect;
mod lanes;
mod limiters;
mod limits;
mod results;
mod schedules;
mod state;
mod unique;

pub(crate) use audit::*;
pub(crate) use control::*;
pub(crate) use follow::*;
use forms::Forms;
pub(crate) use inspect::*;
use lanes::gated;
pub(crate) use lanes::*;
pub(crate) use limiters::*;
pub(crate) use limits::*;
pub(crate) use results::*;
pub(crate) use schedules::*;
pub(crate) use state::*;
use unique::holding;
pub(crate) use unique::*;

impl Source {
    fn call(&'static self, keys: &[&str], args: impl ToRedisArgs) -> Call {
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(self.script.get_hash()).arg(keys.len()).arg(keys).arg(args);
        Call { command, source: self.text }
    }
}

/// All that belongs to dead letters, the index first.
fn dead(keys: &Keys) -> [&str; 4] {
    [&keys.dead, &keys.dead_bodies, &keys.dead_reasons, &keys.dead_pruned]
}

/// The keys before the ready streams, and then all of those.
fn before_ready<'a>(keys: &'a Keys, before: &[&'a str]) -> Vec<&'a str> {
    before.iter().copied().chain(Level::ALL.map(|level| keys.ready(level))).collect()
}

fn delay_ms(delay: Duration) -> u64 {
    // Rounded up: nothing starts before its time.
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

/// The member of `scheduled` for a message, which says what becomes of it once it is due. `holds`: whether it takes of a
/// lane or holds a unique key, which stand in hashes beside it.
pub(crate) fn scheduled_member(priority: Priority, suspect: bool, holds: bool, id: MessageId) -> String {
    let mut member = String::with_capacity(48);
    member.push_str(Level::of(priority).name());
    if suspect {
        member.push('+');
    }
    if holds {
        member.push('@');
    }
    member.push(':');
    member.push_str(&id.to_string());
    member
}

pub(crate) fn open(keys: &Keys) -> Call {
    OPEN.call(&before_ready(keys, &[&keys.wake]), GROUP)
}

/// Answers one value for each message: 1, or an error.
pub(crate) fn schedule<'a>(keys: &Keys, messages: impl Iterator<Item = &'a Enqueue> + Clone) -> Call {
    let all = [&*keys.scheduled, &keys.scheduled_bodies, &keys.wake, &keys.scheduled_lanes];
    let count = if messages.clone().any(|message| message.lane.is_some()) { 4 } else { 3 };
    let mut call = SCHEDULE.call(&all[..count], whole_ms(CHECK_EVERY));
    for Enqueue { id, priority, delay, body, lane, .. } in messages {
        let member = scheduled_member(*priority, false, lane.is_some(), *id);
        let lane = lane.as_ref().map(lane_text).unwrap_or_default();
        call.command.arg((member, delay_ms(*delay), &**body, lane));
    }
    call
}

/// Moves what is due. `woken` is the worker, where it was woken for that.
pub(crate) fn promote(keys: &Keys, limit: usize, woken: Option<&str>) -> Call {
    let [high, normal, low] = [Level::High, Level::Normal, Level::Low].map(|level| keys.ready(level));
    let before = [&*keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes, &keys.wake, high, normal, low];
    let keys = holding(keys, gated(keys, before));
    PROMOTE.call(&keys, (limit, GROUP, woken.unwrap_or_default()))
}

/// The time until the next message is due, `None` where none waits; and when this was, in ms since 1970.
pub(crate) fn promoted(answer: &Value) -> Option<(Option<Duration>, u64)> {
    let (next_ms, now_ms) = redis::from_redis_value_ref::<(i64, u64)>(answer).ok()?;
    Some((u64::try_from(next_ms).ok().map(Duration::from_millis), now_ms))
}

/// Wakes one worker that waits, to check for what is due. One check sees all of it, so that no more than the last is kept.
pub(crate) fn wake(keys: &Keys) -> Cmd {
    redis::cmd("XADD").arg((&keys.wake, "MAXLEN", 1, "*", "w", 1)).take()
}

pub(crate) fn register(keys: &Keys, worker: &str, lease: Duration) -> Call {
    REGISTER.call(&[&keys.workers], (worker, whole_ms(lease)))
}

/// Whether the queue is paused, whether it has a gate, and the time in microseconds.
pub(crate) fn registered(answer: &Value) -> Option<(bool, bool, i64)> {
    redis::from_redis_value_ref(answer).ok()
}

/// `said`: when the last renewal said that the lease ends, in ms since 1970. `heard`: of which cancelled messages the
/// worker has heard, as the last renewal said it, `""` for none.
pub(crate) fn renew(keys: &Keys, worker: &str, lease: Duration, said: Option<u64>, heard: &str) -> Call {
    let said = said.map(|ms| ms.to_string()).unwrap_or_default();
    RENEW.call(&[&keys.workers, &keys.cancelled], (worker, whole_ms(lease), said, heard, MOST_HEARD))
}

/// What a [`renew`] found.
pub(crate) struct Renewed {
    pub(crate) held: bool,
    /// Whether the lease had to be made again, or ended before it should have.
    pub(crate) forgotten: bool,
    pub(crate) deaths: bool,
    pub(crate) paused: bool,
    pub(crate) parked: bool,
    pub(crate) gated: bool,
    pub(crate) now_us: i64,
    /// Of which cancelled messages the worker has heard now, for the next renewal, and those of which it hears by this.
    pub(crate) heard: String,
    pub(crate) cancelled: Vec<MessageId>,
}

impl Renewed {
    /// When the lease ends, in ms since 1970.
    pub(crate) fn ends(&self, lease: Duration) -> u64 {
        u64::try_from(self.now_us / 1_000).unwrap_or_default().saturating_add(whole_ms(lease))
    }
}

pub(crate) fn renewed(answer: &Value) -> Option<Renewed> {
    let (held, deaths, paused, parked, gated, now_us, heard, ids) =
        redis::from_redis_value_ref::<(u8, _, _, _, _, _, _, Vec<String>)>(answer).ok()?;
    let cancelled = ids.iter().filter_map(|id| id.parse().ok()).collect();
    Some(Renewed { held: held > 0, forgotten: held > 1, deaths, paused, parked, gated, now_us, heard, cancelled })
}

/// Answers 1, or 0 where the worker has no lease.
pub(crate) fn stopping(keys: &Keys, worker: &str) -> Call {
    STOPPING.call(&[&keys.workers], (worker, whole_ms(STOPPING_STANDS)))
}

pub(crate) fn deregister(keys: &Keys, worker: &str) -> Call {
    DEREGISTER.call(&before_ready(keys, &[&keys.workers, &keys.wake]), (worker, GROUP))
}

/// Answers for each message: level, entry, delivery count, fields.
pub(crate) fn recover(keys: &Keys, worker: &str, limit: usize, grace: Duration, asked_ms: Option<i64>) -> Call {
    let asked_ms = asked_ms.map(|ms| ms.to_string()).unwrap_or_default();
    let args = (worker, GROUP, limit, DEAD_WORKERS, whole_ms(grace), asked_ms);
    RECOVER.call(&before_ready(keys, &[&keys.workers, &keys.wake, &keys.cancelled]), args)
}

/// Answers as [`recover`] does.
pub(crate) fn unpark(keys: &Keys, worker: &str, limit: usize, abilities: &[&str]) -> Call {
    let [high, normal, low] =
        [Level::HighReleased, Level::NormalReleased, Level::LowReleased].map(|level| keys.ready(level));
    let before = [
        &*keys.scheduled,
        &keys.scheduled_bodies,
        &keys.scheduled_lanes,
        &keys.workers,
        &keys.parked,
        high,
        normal,
        low,
    ];
    let keys = holding(keys, gated(keys, before));
    UNPARK.call(&keys, (worker, GROUP, limit, abilities))
}

/// A message to retry. All settling calls answer one value for each message: 1, 0, `cancelled` or an error.
pub(crate) struct Reschedule<'a> {
    pub(crate) place: Place,
    pub(crate) member: String,
    pub(crate) delay: Duration,
    pub(crate) body: &'a [u8],
    /// What the message is parked for.
    pub(crate) ability: Option<&'a str>,
    pub(crate) held: Option<Held<'a>>,
}

impl Reschedule<'_> {
    /// What a call takes together; messages stand in its order.
    pub(crate) fn group(&self) -> (Level, Option<&str>, Option<(u32, &str)>) {
        let slot = self.held.as_ref().and_then(|held| held.slot.as_ref());
        (self.place.level, self.ability, slot.map(|slot| (slot.cost, slot.key)))
    }
}

/// The messages stand by group, and in each by entry.
pub(crate) fn reschedule(keys: &Keys, worker: &str, messages: &[Reschedule<'_>]) -> Call {
    let before = [
        &*keys.scheduled,
        &keys.scheduled_bodies,
        &keys.scheduled_lanes,
        &keys.workers,
        &keys.parked,
        &keys.wake,
        &keys.cancelled,
    ];
    let args = (worker, GROUP, whole_ms(CHECK_EVERY), whole_ms(PARKED_STANDS));
    let held: Vec<_> = messages.iter().map(|message| message.held.clone()).collect();
    let mut call =
        Forms::storing(&RESCHEDULE, &RESCHEDULE_FREEING).call(keys, before_ready(keys, &before), &held, args);
    for group in messages.chunk_by(|one, next| one.group() == next.group()) {
        let (level, ability, lane) = group[0].group();
        let lane = lane.map(|(cost, key)| format!("{cost} {key}")).unwrap_or_default();
        call.command.arg((level.place(), ability.unwrap_or_default(), lane, group.len()));
        for Reschedule { place, member, delay, body, .. } in group {
            call.command.arg((place.id, &**member, delay_ms(*delay), body));
        }
    }
    call.with_held(keys, &held)
}

/// How long and how many dead letters are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) age: Duration,
    pub(crate) count: u64,
}

pub(crate) struct DeadLetter<'a> {
    pub(crate) place: Place,
    pub(crate) member: String,
    pub(crate) body: &'a [u8],
    pub(crate) reason: &'a str,
    pub(crate) held: Option<Held<'a>>,
}

pub(crate) fn dead_letter(keys: &Keys, worker: &str, retention: Retention, messages: &[DeadLetter<'_>]) -> Call {
    let args = (worker, GROUP, whole_ms(retention.age), retention.count);
    let held: Vec<_> = messages.iter().map(|message| message.held.clone()).collect();
    let keys_before = before_ready(keys, &[&dead(keys)[..], &[&keys.cancelled]].concat());
    let forms = Forms { plain: &DEAD_LETTER, freeing: &DEAD_LETTER_FREEING, following: &DEAD_LETTER_FOLLOWING };
    let mut call = forms.call(keys, keys_before, &held, args);
    for DeadLetter { place, member, body, reason, .. } in messages {
        call.command.arg((place, member, body, reason));
    }
    call.with_held(keys, &held)
}

pub(crate) struct Release<'a> {
    pub(crate) place: Place,
    pub(crate) body: &'a [u8],
    pub(crate) suspect: bool,
    /// The slot and the unique key that it keeps; empty where it has none.
    pub(crate) slot: &'a [u8],
    pub(crate) unique: &'a [u8],
}

pub(crate) fn release<'a>(keys: &Keys, worker: &str, messages: impl Iterator<Item = Release<'a>>) -> Call {
    let before = before_ready(keys, &[&keys.cancelled]);
    let mut call = RELEASE.call(&holding(keys, gated(keys, before)), (worker, GROUP));
    for Release { place, body, suspect, slot, unique } in messages {
        call.command.arg((place, body, u8::from(suspect), slot, unique));
    }
    call
}
