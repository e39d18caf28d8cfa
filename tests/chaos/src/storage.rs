//! What Redis holds at the end of a run.

use std::collections::HashMap;

use actor_core::MessageId;
use redis::{Connection, RedisResult, cmd};
use serde::Deserialize;

use crate::process::{NAMESPACE, QUEUES};
use crate::server::Server;

const LEVELS: [&str; 6] = ["high:again", "high", "normal:again", "normal", "low:again", "low"];

/// What Redis holds at the end of a run.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) dead: HashMap<MessageId, DeadLetter>,
    /// Messages that are ready, lent or scheduled.
    pub(crate) left: Vec<MessageId>,
    /// What should not be there.
    pub(crate) strange: Vec<String>,
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

/// The key of a queue's part.
pub(crate) fn key(queue: &str, name: &str) -> String {
    format!("{{{NAMESPACE}:{queue}}}:{name}")
}

/// How many messages are not at their end. Marks that only wake a worker are none.
pub(crate) fn left(server: &Server) -> RedisResult<u64> {
    let mut connection = server.connection()?;
    let mut left = 0;
    for queue in QUEUES {
        for level in LEVELS {
            let entries: u64 = cmd("XLEN").arg(key(queue, &format!("ready:{level}"))).query(&mut connection)?;
            left += entries;
        }
        left += cmd("HLEN").arg(key(queue, "later:bodies")).query::<u64>(&mut connection)?;
    }
    if left < 100 {
        return Ok(Storage::read(server)?.left.len() as u64);
    }
    Ok(left)
}

impl Storage {
    /// Reads everything. Only for a run's end: what it reads is as much as there is.
    pub(crate) fn read(server: &Server) -> RedisResult<Self> {
        let mut connection = server.connection()?;
        let mut storage = Self::default();
        for queue in QUEUES {
            storage.read_queue(queue, &mut connection)?;
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
                Err(error) => self.strange.push(format!("dead letter {member} cannot be read: {error}")),
            }
        }
        let later: HashMap<String, Vec<u8>> = cmd("HGETALL").arg(key(queue, "later:bodies")).query(connection)?;
        self.left.extend(later.values().filter_map(|body| id(body)));
        for level in LEVELS {
            let stream = key(queue, &format!("ready:{level}"));
            let entries: Vec<(String, HashMap<String, Vec<u8>>)> =
                cmd("XRANGE").arg(&stream).arg("-").arg("+").query(connection)?;
            self.left.extend(entries.iter().filter_map(|(_, fields)| id(fields.get("m")?)));
        }
        Ok(())
    }
}

fn id(body: &[u8]) -> Option<MessageId> {
    #[derive(Deserialize)]
    struct Id {
        id: MessageId,
    }
    serde_json::from_slice::<Id>(body).ok().map(|Id { id }| id)
}
