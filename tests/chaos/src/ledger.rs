//! The outside world: effects, each guarded by the fencing token of its run.
//!
//! It stands for a user's database, as in the documentation of `Context::fencing_token`. It refuses tokens that are
//! smaller than the last it saw, and effects that exist already.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use actor_core::MessageId;

use crate::history::{Journal, What};

/// The ledger's answer to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    /// The effect exists already.
    Done,
    /// A newer run was seen.
    Stale,
}

#[derive(Debug, Default)]
struct Row {
    newest: u64,
    committed: bool,
}

type Rows = Arc<Mutex<HashMap<MessageId, Row>>>;

/// Serves the ledger at `path`, on its own threads, as long as the process lives.
pub(crate) fn serve(path: &Path, journal: Arc<Journal>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let rows = Rows::default();
    std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let (rows, journal) = (Arc::clone(&rows), Arc::clone(&journal));
            std::thread::spawn(move || answer_all(&stream, &rows, &journal));
        }
    })?;
    Ok(())
}

fn answer_all(stream: &UnixStream, rows: &Rows, journal: &Journal) {
    let mut writer = stream;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let mut words = line.split(' ');
        let (Some(verb), Some(Ok(id)), Some(Ok(token))) =
            (words.next(), words.next().map(str::parse), words.next().map(str::parse))
        else {
            return;
        };
        let answer = answer(verb == "commit", id, token, rows, journal);
        let text: &[u8] = match answer {
            Answer::Granted => b"granted\n",
            Answer::Done => b"done\n",
            Answer::Stale => b"stale\n",
        };
        if writer.write_all(text).is_err() {
            return;
        }
    }
}

fn answer(commit: bool, id: MessageId, token: u64, rows: &Rows, journal: &Journal) -> Answer {
    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let row = rows.entry(id).or_default();
    if row.committed {
        return Answer::Done;
    }
    let fresh = if commit { token == row.newest } else { token > row.newest };
    if !fresh {
        journal.note(&What::Fenced { id, token });
        return Answer::Stale;
    }
    row.newest = token;
    if commit {
        row.committed = true;
        journal.note(&What::Committed { id, token });
    }
    Answer::Granted
}

/// A process's connection to the ledger.
#[derive(Debug)]
pub(crate) struct Client(Mutex<BufReader<UnixStream>>);

impl Client {
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufReader::new(UnixStream::connect(path)?))))
    }

    /// Announces a run.
    pub(crate) fn begin(&self, id: MessageId, token: u64) -> Answer {
        self.ask("begin", id, token)
    }

    /// Requests a run's effect.
    pub(crate) fn commit(&self, id: MessageId, token: u64) -> Answer {
        self.ask("commit", id, token)
    }

    fn ask(&self, verb: &str, id: MessageId, token: u64) -> Answer {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = String::new();
        let asked = stream.get_mut().write_all(format!("{verb} {id} {token}\n").as_bytes());
        asked.and_then(|()| stream.read_line(&mut line)).expect("the ledger lives as long as the whole run");
        match line.trim_end() {
            "granted" => Answer::Granted,
            "done" => Answer::Done,
            _ => Answer::Stale,
        }
    }
}
