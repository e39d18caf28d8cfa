//! How far runs have come, by their own word, until it is stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "worker")]
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::kept::Kept;
use crate::MessageId;
#[cfg(feature = "worker")]
use crate::results::PROGRESS;
use crate::results::Reported;

/// How often a run's progress is stored at most.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is kept after it was stored last.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest note, in bytes.
const LONGEST_NOTE: usize = 1_000;

impl Context {
    /// Says how far this run has come: so much of `total` is done. [`Status::InFlight`](crate::results::Status::InFlight)
    /// shows it.
    ///
    /// It is stored at once, and then at most once a second: the last value, as long as the run goes on. Storing it is left
    /// to the worker, and what fails is tried again: a run never waits for it, nor fails by it. Only the worker that holds
    /// the message stores anything. With the message's end it is forgotten.
    ///
    /// ```
    /// use actor_core::{Context, actor};
    ///
    /// #[actor(queue = "reports")]
    /// async fn build_report(cx: &Context, pages: u64) {
    ///     for page in 0..pages {
    ///         cx.progress(page, pages);
    ///         // .. build the page ..
    ///     }
    ///     cx.progress_note("binding");
    /// }
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        self.report(|said| said.done = Some((done, total)));
    }

    /// Says in words how far this run has come, beside what [`progress`](Self::progress) says, and as that does. Of a longer
    /// note the first 1,000 bytes are kept.
    pub fn progress_note(&self, note: impl Into<String>) {
        let mut note = note.into();
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        self.report(|said| said.note = Some(note.into()));
    }

    fn report(&self, change: impl FnOnce(&mut Reported<'static>)) {
        // A run that is over says nothing more, and what a test made without a worker is kept nowhere.
        if self.0.worker.home.is_some() && self.0.follow.note_state() {
            self.0.worker.reports.change(self, change);
        }
    }

    /// Drops what is not stored yet.
    pub(super) fn forget_progress(&self) {
        self.0.worker.reports.lock().remove(&self.id());
    }
}

/// What the runs of a session have said. Written by runs, and stored by the session.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    // Never held over an await.
    by_message: Mutex<HashMap<MessageId, Report>>,
    pub(crate) changed: Notify,
    /// Nothing is stored any more.
    pub(crate) closed: CancellationToken,
}

#[derive(Debug)]
struct Report {
    kept: Kept,
    said: Reported<'static>,
    /// Whether it has changed since it was stored.
    is_new: bool,
    /// Not before this is it stored again.
    again: Instant,
}

/// What is to be stored of a message.
#[cfg(feature = "worker")]
pub(crate) struct Due {
    pub(crate) id: MessageId,
    pub(crate) kept: Kept,
    pub(crate) field: (String, Bytes),
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Report>> {
        // Nothing panics while it is held.
        self.by_message.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, cx: &Context, change: impl FnOnce(&mut Reported<'static>)) {
        let mut reports = self.lock();
        let report = match reports.entry(cx.id()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let Some(kept) = cx.kept() else { return };
                new.insert(Report { kept, said: Reported::default(), is_new: false, again: Instant::now() })
            }
        };
        change(&mut report.said);
        let was_new = std::mem::replace(&mut report.is_new, true);
        drop(reports);
        if !was_new {
            self.changed.notify_one();
        }
    }

    /// Takes what may be stored now, and says when there is more.
    #[cfg(feature = "worker")]
    pub(crate) fn due(&self) -> (Vec<Due>, Option<Instant>) {
        let (now, mut due, mut next) = (Instant::now(), Vec::new(), None::<Instant>);
        for (id, report) in self.lock().iter_mut().filter(|(_, report)| report.is_new) {
            if report.again > now {
                next = Some(next.map_or(report.again, |next| next.min(report.again)));
                continue;
            }
            (report.is_new, report.again) = (false, now + EVERY);
            let text = serde_json::to_vec(&report.said).expect("numbers and texts always serialize");
            due.push(Due { id: *id, kept: report.kept.clone(), field: (PROGRESS.to_owned(), text.into()) });
        }
        (due, next)
    }

    /// Has it stored again, where that may have failed.
    #[cfg(feature = "worker")]
    pub(crate) fn failed(&self, id: MessageId) {
        if let Some(report) = self.lock().get_mut(&id) {
            report.is_new = true;
        }
    }

    /// Drops it: its message is no longer this worker's.
    #[cfg(feature = "worker")]
    pub(crate) fn lost(&self, id: MessageId) {
        self.lock().remove(&id);
    }
}
