//! The scripts. This file and its two others alone know the order of their arguments and how they answer.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, Value};

use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;

/// Workers check for due messages at least this often. What is due sooner wakes one of them.
pub(crate) const CHECK_EVERY: Duration = Duration::from_secs(15);
/// A message that is scheduled later than this is scheduled for this: 100 years. A score is a
/// floating-point number, exact only up to 2^53.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;
/// How many dead workers one recovery handles.
const DEAD_WORKERS: usize = 100;
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

static OPEN: Source = source!("open");
static SCHEDULE: Source = source!("schedule");
static PROMOTE: Source = source!("bounded", "promote");
static REGISTER: Source = source!("register");
static RENEW: Source = source!("renew");
static STOPPING: Source = source!("stopping");
static DEREGISTER: Source = source!("deregister");
static RECOVER: Source = source!("bounded", "recover");
static UNPARK: Source = source!("bounded", "unpark");
static RESCHEDULE: Source = source!("reschedule");
static DEAD_LETTER: Source = source!("bounded", "dead_letter");
static RELEASE: Source = source!("release");

mod audit;
mod inspect;

pub(crate) use audit::*;
pub(crate) use inspect::*;

impl Source {
    fn call(&'static self, keys: &[&str]) -> Call {
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(self.script.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(*key);
        }
        Call { command, source: self.text }
    }
}

impl Call {
    fn arg(&mut self, arg: impl redis::ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
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

pub(crate) fn open(keys: &Keys) -> Call {
    let mut call = OPEN.call(&before_ready(keys, &[&keys.wake]));
    call.arg(GROUP);
    call
}

/// A message to schedule.
pub(crate) struct Scheduled<'a> {
    pub(crate) member: String,
    pub(crate) delay: Duration,
    pub(crate) body: &'a [u8],
}

/// Answers one value for each message: 1, or an error.
pub(crate) fn schedule<'a>(keys: &Keys, messages: impl Iterator<Item = Scheduled<'a>>) -> Call {
    let mut call = SCHEDULE.call(&[&keys.scheduled, &keys.scheduled_bodies, &keys.wake]);
    call.arg(whole_ms(CHECK_EVERY));
    for Scheduled { member, delay, body } in messages {
        call.arg(member).arg(delay_ms(delay)).arg(body);
    }
    call
}

/// Moves what is due. `woken` is the worker, where it was woken for that.
pub(crate) fn promote(keys: &Keys, limit: usize, woken: Option<&str>) -> Call {
    let [high, normal, low] = [Level::High, Level::Normal, Level::Low].map(|level| keys.ready(level));
    let mut call = PROMOTE.call(&[&keys.scheduled, &keys.scheduled_bodies, &keys.wake, high, normal, low]);
    call.arg(limit).arg(GROUP).arg(woken.unwrap_or_default());
    call
}

/// Wakes one worker that waits, to check for what is due. One check sees all of it, so that no more than the last is kept.
pub(crate) fn wake(keys: &Keys) -> Cmd {
    let mut add = Cmd::new();
    add.arg("XADD").arg(&keys.wake).arg("MAXLEN").arg(1).arg("*").arg("w").arg(1);
    add
}

/// What a [`promote`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promoted {
    /// The time until the next message is due; `None` where none waits.
    pub(crate) next: Option<Duration>,
    pub(crate) now_ms: u64,
}

pub(crate) fn promoted(answer: &Value) -> Option<Promoted> {
    let [next_ms, now_ms] = integers(answer)?;
    let next = u64::try_from(next_ms).ok().map(Duration::from_millis);
    Some(Promoted { next, now_ms: u64::try_from(now_ms).ok()? })
}

pub(crate) fn register(keys: &Keys, worker: &str, lease: Duration) -> Call {
    let mut call = REGISTER.call(&[&keys.workers]);
    call.arg(worker).arg(whole_ms(lease));
    call
}

/// What a [`register`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub(crate) paused: bool,
    pub(crate) now_us: i64,
}

pub(crate) fn registered(answer: &Value) -> Option<Registered> {
    let [paused, now_us] = integers(answer)?;
    Some(Registered { paused: paused == 1, now_us })
}

pub(crate) fn renew(keys: &Keys, worker: &str, lease: Duration) -> Call {
    let mut call = RENEW.call(&[&keys.workers]);
    call.arg(worker).arg(whole_ms(lease));
    call
}

/// What a [`renew`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed {
    pub(crate) held: bool,
    /// Whether the lease had to be made again.
    pub(crate) forgotten: bool,
    pub(crate) deaths: bool,
    pub(crate) paused: bool,
    pub(crate) parked: bool,
    pub(crate) now_us: i64,
}

pub(crate) fn renewed(answer: &Value) -> Option<Renewed> {
    let [held, deaths, paused, parked, now_us] = integers(answer)?;
    let (deaths, paused, parked) = (deaths == 1, paused == 1, parked == 1);
    Some(Renewed { held: held > 0, forgotten: held == 2, deaths, paused, parked, now_us })
}

fn integers<const N: usize>(answer: &Value) -> Option<[i64; N]> {
    let Value::Array(parts) = answer else { return None };
    let parts = <&[Value; N]>::try_from(parts.as_slice()).ok()?;
    let mut numbers = [0; N];
    for (number, part) in numbers.iter_mut().zip(parts) {
        let Value::Int(int) = part else { return None };
        *number = *int;
    }
    Some(numbers)
}

/// Answers 1, or 0 where the worker has no lease.
pub(crate) fn stopping(keys: &Keys, worker: &str) -> Call {
    let mut call = STOPPING.call(&[&keys.workers]);
    call.arg(worker).arg(whole_ms(STOPPING_STANDS));
    call
}

pub(crate) fn deregister(keys: &Keys, worker: &str) -> Call {
    let mut call = DEREGISTER.call(&before_ready(keys, &[&keys.workers, &keys.wake]));
    call.arg(worker).arg(GROUP);
    call
}

/// Answers for each message: level, entry, delivery count, fields.
pub(crate) fn recover(keys: &Keys, worker: &str, limit: usize, grace: Duration, asked_ms: Option<i64>) -> Call {
    let mut call = RECOVER.call(&before_ready(keys, &[&keys.workers, &keys.wake]));
    call.arg(worker).arg(GROUP).arg(limit).arg(DEAD_WORKERS).arg(whole_ms(grace));
    match asked_ms {
        Some(ms) => call.arg(ms),
        None => call.arg(""),
    };
    call
}

/// Answers as [`recover`] does.
pub(crate) fn unpark(keys: &Keys, worker: &str, limit: usize, abilities: &[&str]) -> Call {
    let again = [Level::HighReleased, Level::NormalReleased, Level::LowReleased].map(|level| keys.ready(level));
    let [high, normal, low] = again;
    let mut call =
        UNPARK.call(&[&keys.scheduled, &keys.scheduled_bodies, &keys.workers, &keys.parked, high, normal, low]);
    call.arg(worker).arg(GROUP).arg(limit).arg(abilities);
    call
}

/// A message to retry. All settling calls answer one value for each message: 1, 0 or an error.
pub(crate) struct Reschedule<'a> {
    pub(crate) place: Place,
    pub(crate) member: String,
    pub(crate) delay: Duration,
    pub(crate) body: &'a [u8],
    /// What the message is parked for.
    pub(crate) ability: Option<&'a str>,
}

/// The messages stand in the order of their places.
pub(crate) fn reschedule<'a>(keys: &Keys, worker: &str, messages: impl Iterator<Item = Reschedule<'a>>) -> Call {
    let before = [&*keys.scheduled, &keys.scheduled_bodies, &keys.workers, &keys.parked, &keys.wake];
    let mut call = RESCHEDULE.call(&before_ready(keys, &before));
    call.arg(worker).arg(GROUP).arg(whole_ms(CHECK_EVERY)).arg(whole_ms(PARKED_STANDS));
    for Reschedule { place, member, delay, body, ability } in messages {
        call.arg(place.level.place()).arg(place.id).arg(member).arg(delay_ms(delay)).arg(body);
        call.arg(ability.unwrap_or_default());
    }
    call
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
}

pub(crate) fn dead_letter<'a>(
    keys: &Keys,
    worker: &str,
    retention: Retention,
    messages: impl Iterator<Item = DeadLetter<'a>>,
) -> Call {
    let mut call = DEAD_LETTER.call(&before_ready(keys, &dead(keys)));
    call.arg(worker).arg(GROUP).arg(whole_ms(retention.age)).arg(retention.count);
    for DeadLetter { place, member, body, reason } in messages {
        call.arg(place.level.place()).arg(place.id).arg(member).arg(body).arg(reason);
    }
    call
}

pub(crate) struct Release<'a> {
    pub(crate) place: Place,
    pub(crate) body: &'a [u8],
    pub(crate) suspect: bool,
}

pub(crate) fn release<'a>(keys: &Keys, worker: &str, messages: impl Iterator<Item = Release<'a>>) -> Call {
    let mut call = RELEASE.call(&before_ready(keys, &[]));
    call.arg(worker).arg(GROUP);
    for Release { place, body, suspect } in messages {
        call.arg(place.level.place()).arg(place.id).arg(body).arg(u8::from(suspect));
    }
    call
}
