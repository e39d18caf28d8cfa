//! Indexes and bodies: whatever has a time has a body, and the other way round.

use redis::Value;

use super::{Auditor, INDEX, PAGE, number, text, texts};
use crate::error::RequestError;

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
        "the index was deleted by hand: ZADD {index} 0 {name}, which makes it due now",
    ),
};

pub(super) const DEAD: Words = Words {
    bare: ("is a dead letter without a body", "its body was deleted by hand: ZREM {index} {name}"),
    lost: (
        "is a dead letter's body that nothing lists and nothing lets go",
        "the index was deleted by hand: ZADD {index} <ms since 1970> {name} lists it again",
    ),
};

pub(super) const REASONS: Words = Words {
    bare: (
        "is a dead letter without a reason",
        "its reason was deleted by hand: the letter can be replayed all the same",
    ),
    lost: ("is a dead letter's reason that belongs to none", "HDEL {hash} {name}"),
};

impl Auditor<'_> {
    /// Compares an index with a hash.
    pub(super) async fn index(&mut self, index: &str, hash: &str, words: Words) -> Result<(), RequestError> {
        let (mut rank, mut cursor) = (0, "0".to_owned());
        let (mut read, mut bare, mut lost) = (0, Vec::new(), Vec::new());
        while rank >= 0 || !cursor.is_empty() {
            let args = [rank.to_string(), cursor, PAGE.to_string()];
            let answer = self.script(&INDEX, &[index, hash], &args.each_ref().map(String::as_str)).await?;
            let [next, further, page, without, unindexed] = answer.as_slice() else { return Err(self.strange()) };
            let Value::Int(next) = next else { return Err(self.strange()) };
            rank = *next;
            cursor = text(further).unwrap_or_default();
            bare.extend(texts(without));
            lost.extend(texts(unindexed));
            let more = rank >= 0 || !cursor.is_empty();
            if !self.may_go_on(number(page).unwrap_or_default(), &mut read) && more {
                break;
            }
        }
        // A page of the index or of the hash may show a member twice, when it changes meanwhile.
        for found in [&mut bare, &mut lost] {
            found.sort_unstable();
            found.dedup();
        }
        let fill = |text: &str| text.replace("{index}", index).replace("{hash}", hash);
        self.violations(index, &bare, words.bare.0, &fill(words.bare.1));
        self.violations(hash, &lost, words.lost.0, &fill(words.lost.1));
        Ok(())
    }

    /// Looks for messages that are due and that nobody moved.
    pub(super) async fn overdue(&mut self) -> Result<(), RequestError> {
        let key = self.queue.keys.scheduled.clone();
        let now = self.now_ms().await?;
        let least = format!("{:.0}", now - PATIENCE_MS);
        let Value::Int(count) = self.command(&["ZCOUNT", &key, "-inf", &least]).await? else {
            return Err(self.strange());
        };
        if count > 0 {
            let what = format!("{count} messages have been due for more than a minute");
            self.violation(&key, what, "no worker serves this queue, or it is paused: start one, or resume it");
        }
        Ok(())
    }
}
