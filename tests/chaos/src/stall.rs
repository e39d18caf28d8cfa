//! Detects stalls of the machine itself, during which nobody can be in time.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::clock::now_us;
use crate::history::{Journal, What};

const TICK: Duration = Duration::from_millis(50);
/// A sleep that lasts this much too long is recorded, in us.
const STALL: u64 = 500_000;

/// Records when a thread that only sleeps could not wake, until the journal is closed.
pub(crate) fn watch(journal: &Arc<Journal>) -> io::Result<()> {
    let journal: Weak<Journal> = Arc::downgrade(journal);
    thread::Builder::new().name("stall".to_owned()).spawn(move || {
        let mut due = now_us();
        loop {
            thread::sleep(TICK);
            due += u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX);
            let Some(journal) = journal.upgrade() else { return };
            let now = now_us();
            if now > due + STALL {
                journal.note(&What::Stalled { since: due });
            }
            due = now;
        }
    })?;
    Ok(())
}
