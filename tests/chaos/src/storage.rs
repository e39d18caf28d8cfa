//! What Redis holds at the end of a run.

use std::collections::{HashMap, HashSet};

use actor_core::MessageId;
use actor_core::wire::VERSION;
use redis::{Connection, RedisResult, cmd};
use serde::Deserialize;

use crate::process::NAMESPACE;
use crate::topology::Servers;

/// More than are ever in flight at once.
const MANY: u64 = 1_000_000;

const LEVELS: [&str; 6] = ["high:released", "high", "normal:released", "normal", "low:released", "low"];

/// What Redis holds at the end of a run.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) dead: HashMap<MessageId, DeadLetter>,
    /// Messages that are ready, in flight or scheduled.
    pub(crate) left: Vec<MessageId>,
    /// Those of a newer format among them, as stored, for newer workers.
    pub(crate) newer_format: HashMap<MessageId, String>,
    /// The number of entries in flight by the groups.
    pub(crate) in_flight: u64,
    /// Slots that are taken, and what is said to wait in lanes.
    pub(crate) taken: Vec<String>,
    /// What should not be there.
    pub(crate) unexpected: Vec<String>,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) actor: String,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
struct Body {
    id: MessageId,
    actor: String,
    attempt: u32,
    crashes: u32,
}

/// What follows from runs of a queue and belongs to another, or to itself.
fn outbox(queue: &str, to: &str) -> String {
    key(queue, &format!("outbox:{to}"))
}

/// A key of a queue.
pub(crate) fn key(queue: &str, name: &str) -> String {
    format!("{{{NAMESPACE}:{queue}}}:{name}")
}

/// The number of messages that have not ended. Messages for newer workers do not count.
pub(crate) fn left(servers: &Servers, queues: &[&str]) -> RedisResult<u64> {
    let mut left = 0;
    for queue in queues {
        let mut connection = servers.holding(queue).connection()?;
        for level in LEVELS {
            let entries: u64 = cmd("XLEN").arg(key(queue, &format!("ready:{level}"))).query(&mut connection)?;
            left += entries;
        }
        left += cmd("HLEN").arg(key(queue, "scheduled:bodies")).query::<u64>(&mut connection)?;
        left += number(&mut connection, &key(queue, "gate"), "w")?;
        for to in queues {
            left += cmd("XLEN").arg(outbox(queue, to)).query::<u64>(&mut connection)?;
        }
    }
    // Few enough to check one by one.
    if left < 2_000 {
        return Ok(Storage::read(servers, queues)?.left.len() as u64);
    }
    Ok(left)
}

/// A number of a hash, or 0.
fn number(connection: &mut Connection, hash: &str, field: &str) -> RedisResult<u64> {
    Ok(cmd("HGET").arg(hash).arg(field).query::<Option<u64>>(connection)?.unwrap_or_default())
}

impl Storage {
    /// Reads everything that is left, at the end of a run.
    pub(crate) fn read(servers: &Servers, queues: &[&str]) -> RedisResult<Self> {
        let mut storage = Self::default();
        for queue in queues {
            let mut connection = servers.holding(queue).connection()?;
            storage.read_queue(queue, &mut connection)?;
            for to in queues {
                storage.read_stream(&outbox(queue, to), &mut connection)?;
            }
        }
        for server in servers.primaries() {
            storage.find_unknown_keys(queues, &mut server.connection()?)?;
        }
        Ok(storage)
    }

    fn read_queue(&mut self, queue: &str, connection: &mut Connection) -> RedisResult<()> {
        let reasons: HashMap<String, String> = cmd("HGETALL").arg(key(queue, "dead:reasons")).query(connection)?;
        let bodies: HashMap<String, Vec<u8>> = cmd("HGETALL").arg(key(queue, "dead:bodies")).query(connection)?;
        for (member, body) in bodies {
            let reason = reasons.get(&member).cloned().unwrap_or_default();
            match serde_json::from_slice::<Body>(&body) {
                Ok(Body { id, actor, attempt, crashes }) => {
                    self.dead.insert(id, DeadLetter { actor, attempt, crashes, reason });
                }
                Err(error) => self.unexpected.push(format!("dead letter {member} cannot be read: {error}")),
            }
        }
        let scheduled: HashMap<String, Vec<u8>> =
            cmd("HGETALL").arg(key(queue, "scheduled:bodies")).query(connection)?;
        scheduled.values().for_each(|body| self.not_at_its_end(body));
        for level in LEVELS {
            let stream = key(queue, &format!("ready:{level}"));
            self.read_stream(&stream, connection)?;
            // A deleted stream has no group.
            let pending = cmd("XPENDING").arg(&stream).arg("workers").arg("-").arg("+").arg(MANY).query(connection);
            let pending: Vec<(String, String, u64, u64)> = pending.unwrap_or_default();
            self.in_flight += pending.len() as u64;
        }
        self.read_gate(queue, connection)
    }

    fn read_stream(&mut self, stream: &str, connection: &mut Connection) -> RedisResult<()> {
        let entries: Vec<(String, HashMap<String, Vec<u8>>)> =
            cmd("XRANGE").arg(stream).arg("-").arg("+").query(connection)?;
        entries.iter().filter_map(|(_, fields)| fields.get("m")).for_each(|body| self.not_at_its_end(body));
        Ok(())
    }

    fn read_gate(&mut self, queue: &str, connection: &mut Connection) -> RedisResult<()> {
        let lanes: Vec<String> = cmd("KEYS").arg(key(queue, "lane:*")).query(connection)?;
        for lane in lanes {
            let texts: Vec<Vec<u8>> = cmd("LRANGE").arg(lane).arg(0).arg(-1).query(connection)?;
            for text in texts {
                // Its cost is before it.
                let body = text.iter().position(|byte| *byte == b' ').map_or(&text[..], |at| &text[at + 1..]);
                self.not_at_its_end(body);
            }
        }
        for (field, what) in [("n", "slots are taken"), ("w", "messages wait")] {
            let count: i64 =
                cmd("HGET").arg(key(queue, "gate")).arg(field).query::<Option<_>>(connection)?.unwrap_or(0);
            if count != 0 {
                self.taken.push(format!("{queue}: {count} {what}"));
            }
        }
        for (name, what) in [("lanes:running", "slots"), ("lanes:waiting", "messages")] {
            let keys: HashMap<String, i64> = cmd("HGETALL").arg(key(queue, name)).query(connection)?;
            self.taken.extend(keys.iter().map(|(key, count)| format!("{queue}: {count} {what} of {key:?} in {name}")));
        }
        for name in ["lanes:open", "lanes:full"] {
            let keys: Vec<String> = cmd("ZRANGE").arg(key(queue, name)).arg(0).arg(-1).query(connection)?;
            self.taken.extend(keys.iter().map(|key| format!("{queue}: {key:?} is in {name}")));
        }
        Ok(())
    }

    fn not_at_its_end(&mut self, body: &[u8]) {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
            id: MessageId,
        }
        match serde_json::from_slice::<Head>(body) {
            Ok(Head { v, id }) if v > VERSION => {
                self.newer_format.insert(id, String::from_utf8_lossy(body).into_owned());
            }
            Ok(Head { id, .. }) => self.left.push(id),
            Err(error) => self.unexpected.push(format!("{error}: {}", String::from_utf8_lossy(body))),
        }
    }

    /// Finds keys that `docs/redis-keys.md` does not name.
    fn find_unknown_keys(&mut self, queues: &[&str], connection: &mut Connection) -> RedisResult<()> {
        const NAMES: [&str; 29] = [
            "cancelled",
            "outboxes",
            "arrivals",
            "scheduled:lanes",
            "scheduled",
            "scheduled:bodies",
            "dead",
            "dead:bodies",
            "dead:reasons",
            "dead:pruned",
            "parked",
            "schedules",
            "schedules:specs",
            "schedules:states",
            "schedules:names",
            "schedules:declared",
            "schedules:clock",
            "schedules:open",
            "wake",
            "workers",
            "gate",
            "lanes:open",
            "lanes:closed",
            "lanes:full",
            "lanes:resting",
            "lanes:running",
            "lanes:waiting",
            "lanes:allowed",
            "lanes:limits",
        ];
        let mut known: HashSet<String> = HashSet::from([format!("{{{NAMESPACE}}}:queues")]);
        for queue in queues {
            known.extend(NAMES.iter().map(|name| key(queue, name)));
            known.extend(queues.iter().map(|to| outbox(queue, to)));
            known.extend(LEVELS.iter().map(|level| key(queue, &format!("ready:{level}"))));
        }
        let keys: Vec<String> = cmd("KEYS").arg("*").query(connection)?;
        // What was sent with an idempotency key is remembered for a day, a result as long as its actor says, and what a run
        // noted beside its message as long as the message, or its dead letter. All of them expire.
        let expire = ["idempotent:", "result:", "state:"];
        let is_known = |name: &String| {
            let is_of = |queue: &&str| expire.iter().any(|prefix| name.starts_with(&key(queue, prefix)));
            known.contains(name) || queues.iter().any(is_of)
        };
        self.unexpected.extend(keys.into_iter().filter(|key| !is_known(key)).map(|key| format!("a key {key}")));
        Ok(())
    }
}
