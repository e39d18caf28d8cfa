//! Indexes and bodies: whatever has a time has a body, and the other way round.

use super::Auditor;
use crate::error::RequestError;
use crate::script;

/// How long a message may be due before somebody should have moved it.
const PATIENCE_MS: f64 = 60_000.0;

/// What to say of an index and a hash that do not agree.
pub(super) struct Words {
    bare: (&'static str, &'static str),
    lost: (&'static str, &'static str),
}

pub(super) const SCHEDULED: Words = Words {
    bare: ("is scheduled, and has no body", "its body was deleted by hand: ZREM {index} {name}"),
    lost: (
        "is the body of a message that is not scheduled and will not start",
        "the index was deleted: `RedisBroker::repair` puts it back, and makes it due now",
    ),
};

pub(super) const DEAD: Words = Words {
    bare: ("is a dead letter without a body", "its body was deleted by hand: ZREM {index} {name}"),
    lost: (
        "is a dead letter's body that nothing lists and nothing prunes",
        "the index was deleted: `RedisBroker::repair` lists it again",
    ),
};

pub(super) const REASONS: Words = Words {
    bare: (
        "is a dead letter without a reason",
        "its reason was deleted by hand: the message can be replayed all the same",
    ),
    lost: ("is a dead letter's reason that belongs to none", "HDEL {hash} {name}"),
};

impl Auditor<'_> {
    /// Compares an index with a hash.
    pub(super) async fn index(&mut self, index: &str, hash: &str, words: Words) -> Result<(), RequestError> {
        let [bare] = self.pages("0".to_owned(), |rank| script::audit_bare(index, hash, rank)).await?;
        let [lost] = self.pages("0".to_owned(), |cursor| script::audit_lost(index, hash, cursor)).await?;
        let fill = |text: &str| text.replace("{index}", index).replace("{hash}", hash);
        self.violations(index, &bare, words.bare.0, &fill(words.bare.1));
        self.violations(hash, &lost, words.lost.0, &fill(words.lost.1));
        Ok(())
    }

    /// Finds messages that are due and that nobody moved.
    pub(super) async fn overdue(&mut self) -> Result<(), RequestError> {
        let key = self.queue.keys.scheduled.clone();
        let now = self.now_ms().await?;
        let least = format!("{:.0}", now - PATIENCE_MS);
        let count: u64 = self.ask(&["ZCOUNT", &key, "-inf", &least]).await?;
        if count > 0 {
            let what = format!("{count} messages have been due for more than a minute");
            self.violation(&key, what, "no worker serves this queue, or it is paused: start one, or resume it");
        }
        Ok(())
    }
}
