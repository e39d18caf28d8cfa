//! The history of a run: one file for each process, one line for each event.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use actor_core::MessageId;
use serde::{Deserialize, Serialize};

use crate::clock::now_us;
use crate::tuner::Tune;

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub(crate) enum What {
    /// A producer is about to send a message.
    Invoked {
        id: MessageId,
        actor: String,
        delay_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane: Option<Lane>,
    },
    /// It is unique by this key, or has this idempotency key.
    Keyed { id: MessageId, key: String, once: Option<String> },
    /// The broker said that it was not stored, since another one stands for it.
    Stands { id: MessageId, by: MessageId },
    /// Another one took its place.
    Displaced { id: MessageId },
    /// The broker said that it was stored.
    Acknowledged { id: MessageId },
    /// The broker said that it was not stored.
    Refused { id: MessageId, why: String },
    /// The broker could not say.
    Unknown { id: MessageId, why: String },

    /// A producer is about to cancel a message.
    Cancelling { id: MessageId },
    /// The broker said what became of that.
    Cancelled { id: MessageId, answer: CancelAnswer },

    /// A message of a newer format was added by hand.
    NewerFormat { id: MessageId, body: String },

    /// A message was delivered to a worker, which may run it.
    Delivered { id: MessageId, attempt: u32, crashes: u32, token: u64 },
    /// A run began.
    Start { id: MessageId, actor: String, attempt: u32, crashes: u32, token: u64 },
    /// A run asked that a message be sent after it: in the step that dead-letters its own message, or in the one that
    /// settles it as done.
    Follows { id: MessageId, of: MessageId, token: u64, queue: String, delay_ms: u64, failure: bool },
    /// A run ended.
    End { id: MessageId, token: u64, how: How },
    /// A run of a schedule's message began: its tick, in ms since 1970.
    Ticked { at: u64, id: MessageId },
    /// A worker is about to settle a message, but not as done. `spent` attempts count from here on.
    Settled { id: MessageId, token: u64, spent: u32, error: Option<String> },

    /// A session began: its lease was asked for at `asked`.
    Registered { worker: String, asked: u64 },
    /// The lease was renewed.
    Renewed { worker: String, asked: u64 },
    /// Redis had lost the lease, and this renewal made it again.
    Forgotten { worker: String },
    /// The worker learned that it was declared dead.
    Lost { worker: String },
    /// The lease ended in good order.
    Deregistered { worker: String },

    /// The effect of a message was written to the ledger.
    Committed { id: MessageId, token: u64 },
    /// The ledger refused a token that was not the newest.
    Fenced { id: MessageId, token: u64 },

    /// A process was started.
    Spawned { process: String, pid: u32 },
    /// The next process started runs the older version, which lacks the newest actor.
    Older { process: String },
    /// A process was asked to stop.
    Asked { process: String },
    /// A process ended. `ordered` if it was asked to, and obeyed.
    Died { process: String, how: String, ordered: bool },
    /// A process reached the failpoint it must die at, and is about to.
    Reached { point: String },
    /// A fault began.
    Fault { name: String, on: String },
    /// A fault was ended.
    Healed { name: String, on: String },
    /// Redis becomes unavailable.
    Away,
    /// Redis is available again.
    Back,
    /// The network dropped an idle connection and discards what arrives on it.
    Forgot { on: String },
    /// The whole machine stalled until now.
    Stalled { since: u64 },
    /// What Redis stores from here on may be lost with its master.
    Parted,
    /// The master died; its replica takes its place.
    MasterLost,
    /// A Sentinel announced that it knows another master, or a member of a cluster that it is one.
    Switched { sentinel: u16, to: u16 },
    /// A user was replaced, and so many connections still have it once its time is over.
    Replaced { user: String, connections: u64 },
    /// A limit is about to be changed while the queue runs.
    Tuning { change: Tune },
    /// The broker said that it is.
    Tuned,
    /// All faults are over; messages are still sent.
    Calm,
    /// No more messages are sent.
    Draining,
}

/// Whose turn a message waits for, and how many slots it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) key: String,
    pub(crate) cost: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// The work was done.
    Done,
    /// The work had been done by an earlier run.
    DoneBefore,
    /// It failed on purpose.
    Failed,
    /// A limit elsewhere refused it.
    Refused,
    /// It failed because another run of the message has a newer token.
    Stale,
    /// It was dropped before its end.
    Dropped,
    /// It ended because its message was cancelled.
    Cancelled,
}

/// What became of a message that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelAnswer {
    Removed,
    Requested,
    NotFound,
}

/// An event, its time, and the process that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) process: usize,
    pub(crate) what: What,
}

/// A process's history, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    pub(crate) fn open(directory: &Path, process: &str) -> io::Result<Self> {
        let path = directory.join(format!("{process}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { directory: directory.to_owned(), file: Mutex::new(file) })
    }

    /// The process of this run that died at a point.
    pub(crate) fn reached(&self, point: &str) -> io::Result<Option<String>> {
        Ok(History::read(&self.directory)?.reached(point))
    }

    /// Writes an event before it returns, so that a kill cannot undo it.
    pub(crate) fn note(&self, what: &What) {
        let mut line = serde_json::to_vec(&(now_us(), what)).expect("events always serialize");
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).expect("a history must be written, or the verdict is worth nothing");
    }
}

/// Before the names of the queues that a fault hits, where it spares others.
const OF_QUEUES: &str = "queues ";

/// What a fault hits that spares other queues.
pub(crate) fn queues(hit: &[&str]) -> String {
    format!("{OF_QUEUES}{}", hit.join(","))
}

/// Whether a fault on this hits some queues and spares others.
pub(crate) fn is_of_queues(on: &str) -> bool {
    on.starts_with(OF_QUEUES)
}

/// Whether a fault on this hits a queue.
pub(crate) fn hits(on: &str, queue: &str) -> bool {
    on.strip_prefix(OF_QUEUES).is_none_or(|hit| hit.split(',').any(|hit| hit == queue))
}

/// All events, by time.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) processes: Vec<String>,
    pub(crate) events: Vec<Event>,
}

impl History {
    /// Reads every file of a directory.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut history = Self::default();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        for path in files {
            let process = history.processes.len();
            history.processes.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
            for line in BufReader::new(File::open(path)?).lines() {
                // A kill may truncate the last line of a file.
                if let Ok((at, what)) = serde_json::from_str(&line?) {
                    history.events.push(Event { at, process, what });
                }
            }
        }
        history.events.sort_by_key(|event| event.at);
        Ok(history)
    }

    /// The process that died at a point.
    pub(crate) fn reached(&self, point: &str) -> Option<String> {
        let reached = |event: &&Event| matches!(&event.what, What::Reached { point: reached } if reached == point);
        self.events.iter().find(reached).map(|event| self.processes[event.process].clone())
    }
}
