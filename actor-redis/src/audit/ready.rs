//! Ready streams: every entry that was in flight is held by somebody, and everything that is held is there.

use redis::Value;

use super::{Auditor, ENTRIES, IN_FLIGHT, PAGE, number, text, texts};
use crate::error::RequestError;
use crate::keys::{GROUP, Level};

/// Each mark wakes one worker, which removes it. More than this, and nobody does.
const MOST_WAKES: u64 = 1_000;

impl Auditor<'_> {
    /// Looks for entries that were in flight and that nobody holds.
    pub(super) async fn entries(&mut self, level: Level) -> Result<(), RequestError> {
        let key = self.queue.keys.ready(level).to_owned();
        let (mut after, mut read, mut wakes, mut orphans) = (String::new(), 0, 0, Vec::new());
        loop {
            let answer = self.script(&ENTRIES, &[&key], &[GROUP, &after, &PAGE.to_string()]).await?;
            let [last, page, marks, found] = answer.as_slice() else { return Err(self.strange()) };
            wakes += number(marks).unwrap_or_default();
            orphans.extend(texts(found));
            after = text(last).unwrap_or_default();
            if !self.may_go_on(number(page).unwrap_or_default(), &mut read) || after.is_empty() {
                break;
            }
        }
        self.violations(
            &key,
            &orphans,
            "was in flight, nobody holds it, and it will not be delivered again",
            &format!(
                "a consumer of the group was deleted by hand: add its fields again (XRANGE {key} {{name}} {{name}}, \
                 XADD {key} * m ..), then XDEL {key} {{name}}"
            ),
        );
        if wakes > MOST_WAKES {
            self.violation(&key, format!("{wakes} marks that nobody removes"), "start a worker of this queue");
        }
        self.group(level, &key).await
    }

    /// Looks whether a stream that holds something has its group.
    async fn group(&mut self, level: Level, key: &str) -> Result<(), RequestError> {
        let Value::Int(len) = self.command(&["XLEN", key]).await? else {
            return Err(self.strange());
        };
        if len == 0 {
            return Ok(());
        }
        match self.command(&["XPENDING", key, GROUP]).await {
            Err(error) if error.code() == Some("NOGROUP") => {
                // Before the first worker there is none, and none is missed.
                let any = self.command(&["ZCARD", &self.queue.keys.workers.clone()]).await?;
                if any != Value::Int(0) {
                    let what = format!("its {len} entries of level {} have no consumer group", level.name());
                    self.violation(key, what, "workers make it again within seconds: start one where none runs");
                }
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// Looks for what is in flight and is not there.
    pub(super) async fn in_flight(&mut self, level: Level) -> Result<(), RequestError> {
        let key = self.queue.keys.ready(level).to_owned();
        let (mut after, mut read, mut gone) = (String::new(), 0, Vec::new());
        loop {
            let answer = self.script(&IN_FLIGHT, &[&key], &[GROUP, &after, &PAGE.to_string()]).await?;
            let [last, page, found] = answer.as_slice() else { return Err(self.strange()) };
            gone.extend(texts(found));
            after = text(last).unwrap_or_default();
            if !self.may_go_on(number(page).unwrap_or_default(), &mut read) || after.is_empty() {
                break;
            }
        }
        self.violations(
            &key,
            &gone,
            "is in flight, and its entry is gone",
            &format!("the entry was deleted or trimmed by hand, and its message with it: XACK {key} {GROUP} {{name}}"),
        );
        Ok(())
    }

    pub(super) fn strange(&self) -> RequestError {
        self.connections.strange("to an audit")
    }
}
