//! The auditor: whether what Redis holds for a queue is as it must be.
//!
//! It writes nothing. Each of its steps is one script over one page, so that it sees no half of what a
//! script or a transaction does as one, and holds up the server for a moment only.

mod index;
mod lanes;
mod leases;
mod outboxes;
mod ready;
mod repair;
mod states;
mod unique;

use std::fmt;
use std::time::SystemTime;

use actor_core::{BrokerError, Inspect, QueueName};
use redis::{Cmd, FromRedisValue};

pub use self::repair::Repair;
use crate::broker::RedisBroker;
use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::keys::{Keys, Level};
use crate::link::Route;
use crate::queue::Queue;
use crate::request::Request;
use crate::script::{Call, time};

/// How many violations of one kind under one key are named one by one.
const NAMED: usize = 20;

/// What an audit of one queue found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audit {
    /// The queue.
    pub queue: QueueName,
    /// How many messages and marks were read.
    pub read: u64,
    /// Whether all of them were: otherwise the audit came to its limit.
    pub complete: bool,
    /// What is wrong. Nothing, in good order.
    pub violations: Vec<Violation>,
    /// How many dead letters were removed because they were too many or too old, and since when, as in
    /// [`Counts`](actor_core::inspect::Counts). This is in order, but whoever audits must know of it.
    pub pruned: u64,
    /// When the first of these was removed.
    pub pruned_since: Option<SystemTime>,
}

/// Something in Redis that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The key where it is.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.key, self.what, self.remedy)
    }
}

impl RedisBroker {
    /// Checks that each message of a queue is in exactly one state, that indexes and bodies agree, that
    /// what is in flight has an owner who lives or will be recovered, and that nothing is left behind.
    ///
    /// It only reads, at most `limit` messages of each state, a hundred at a time, and may be run on a
    /// queue in full use: what is in order never shows as a violation.
    ///
    /// # Errors
    ///
    /// Redis could not be reached, or refused. Auditing may be tried again at any time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn audit(&self, queue: &QueueName, limit: usize) -> Result<Audit, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let mut auditor = Auditor {
            connections: self.inner().commands.to(&queue),
            queue: &queue,
            limit,
            audit: Audit {
                queue: queue.name.clone(),
                read: 0,
                complete: true,
                violations: Vec::new(),
                pruned: 0,
                pruned_since: None,
            },
        };
        auditor.check(&self.queues().await?).await?;
        Ok(auditor.audit)
    }
}

/// An audit under way.
struct Auditor<'a> {
    connections: Route<'a>,
    queue: &'a Queue,
    limit: usize,
    audit: Audit,
}

impl Auditor<'_> {
    async fn check(&mut self, known: &[QueueName]) -> Result<(), RequestError> {
        if !self.types().await? {
            // Nothing below can be asked of a key of another type.
            return Ok(());
        }
        for level in Level::ALL {
            self.entries(level).await?;
            self.in_flight(level).await?;
            self.ready_alone(level).await?;
        }
        self.leases().await?;
        self.lanes().await?;
        let keys = &self.queue.keys;
        self.index(&keys.scheduled, &keys.scheduled_bodies, index::SCHEDULED).await?;
        self.index(&keys.dead, &keys.dead_bodies, index::DEAD).await?;
        self.index(&keys.dead, &keys.dead_reasons, index::REASONS).await?;
        self.scheduled_alone().await?;
        self.overdue().await?;
        self.unique().await?;
        self.outboxes(known).await?;
        self.pruned().await
    }

    /// Whether every key has its type.
    async fn types(&mut self) -> Result<bool, RequestError> {
        let wanted = types(&self.queue.keys);
        let ask = |(key, _): &(&str, _)| redis::cmd("TYPE").arg(key).take();
        let answers = self.connections.request(&Request::of("inspect", wanted.iter().map(ask)), ANSWER).await?;
        let mut fits = true;
        for ((key, wanted), answer) in wanted.into_iter().zip(answers) {
            let found: String = self.connections.parse(answer?)?;
            if found != wanted && found != "none" {
                fits = false;
                let what = format!("it holds a {found} in place of a {wanted}");
                self.violation(key, what, "another program uses this key: give it, or this queue, another namespace");
            }
        }
        Ok(fits)
    }

    /// Reads how many dead letters were removed.
    async fn pruned(&mut self) -> Result<(), RequestError> {
        let key = self.queue.keys.dead_pruned.clone();
        let answer = self.ask(&["HMGET", &key, "count", "first"]).await?;
        let (count, since_ms) = redis::from_redis_value::<(Option<u64>, Option<u64>)>(answer).unwrap_or_default();
        (self.audit.pruned, self.audit.pruned_since) = (count.unwrap_or_default(), since_ms.map(time));
        Ok(())
    }

    async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> Result<T, RequestError> {
        self.connections.ask(Cmd::new().arg(command)).await
    }

    /// Runs a script page after page, from `next` on, and returns what it found, of so many kinds.
    async fn pages<const N: usize>(
        &mut self,
        mut next: String,
        call: impl Fn(&str) -> Call,
    ) -> Result<[Vec<String>; N], RequestError> {
        let (mut read, mut names) = (0, [const { Vec::new() }; N]);
        loop {
            let page: (String, u64, [Vec<String>; N]) =
                self.connections.run(Request::calling("inspect", call(&next))).await?;
            names.iter_mut().zip(page.2).for_each(|(names, more)| names.extend(more));
            next = page.0;
            read += page.1;
            self.audit.read += page.1;
            let may_go_on = usize::try_from(read).is_ok_and(|read| read < self.limit);
            self.audit.complete &= may_go_on;
            if !may_go_on || next.is_empty() {
                break;
            }
        }
        // What changes meanwhile may be shown twice.
        for names in &mut names {
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    fn violation(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let violation = Violation { key: key.to_owned(), what: what.into(), remedy: remedy.into() };
        self.audit.violations.push(violation);
    }

    /// Notes the same of many, the first of them by name.
    fn violations(&mut self, key: &str, found: &[String], what: &str, remedy: &str) {
        for name in found.iter().take(NAMED) {
            self.violation(key, format!("`{name}` {what}"), remedy.replace("{name}", name));
        }
        if found.len() > NAMED {
            self.violation(key, format!("{} more like these", found.len() - NAMED), "as above");
        }
    }
}

fn types(keys: &Keys) -> Vec<(&str, &'static str)> {
    let streams = Level::ALL.into_iter().map(|level| (keys.ready(level), "stream"));
    let [open, closed, full, resting, running, waiting, allowed, limits] = &keys.lanes;
    let others: [(&str, _); 25] = [
        (&keys.gate, "hash"),
        (open, "zset"),
        (closed, "zset"),
        (full, "zset"),
        (resting, "zset"),
        (running, "hash"),
        (waiting, "hash"),
        (allowed, "zset"),
        (limits, "hash"),
        (&keys.wake, "stream"),
        (&keys.parked, "zset"),
        (&keys.scheduled, "zset"),
        (&keys.scheduled_bodies, "hash"),
        (&keys.dead, "zset"),
        (&keys.dead_bodies, "hash"),
        (&keys.dead_reasons, "hash"),
        (&keys.dead_pruned, "hash"),
        (&keys.workers, "zset"),
        (&keys.unique[0], "hash"),
        (&keys.unique[1], "hash"),
        (&keys.unique[2], "hash"),
        (&keys.unique[3], "hash"),
        (&keys.scheduled_lanes, "hash"),
        (&keys.outboxes, "set"),
        (&keys.arrivals, "hash"),
    ];
    streams.chain(others).collect()
}
