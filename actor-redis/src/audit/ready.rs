//! Ready streams: every entry that was in flight is held by somebody, and everything that is held is there.

use redis::Value;

use super::Auditor;
use crate::error::RequestError;
use crate::keys::{GROUP, Level};
use crate::script;

impl Auditor<'_> {
    /// Finds entries that were in flight and that nobody holds.
    pub(super) async fn entries(&mut self, level: Level) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let [orphans] = self.pages(String::new(), |after| script::audit_entries(keys, level, after)).await?;
        self.violations(
            keys.ready(level),
            &orphans,
            "was in flight, and nobody holds it",
            "a consumer or the group was deleted: workers deliver it again within a minute, start one where none runs",
        );
        self.group(level, keys.ready(level)).await
    }

    /// Checks whether a stream that holds something has its group.
    async fn group(&mut self, level: Level, key: &str) -> Result<(), RequestError> {
        let len: u64 = self.ask(&["XLEN", key]).await?;
        if len == 0 {
            return Ok(());
        }
        match self.ask::<Value>(&["XPENDING", key, GROUP]).await {
            Err(error) if error.code() == Some("NOGROUP") => {
                // Before the first worker there is none, and none is missed.
                if self.ask::<bool>(&["EXISTS", &self.queue.keys.workers]).await? {
                    let what = format!("its {len} entries of level {} have no consumer group", level.name());
                    self.violation(key, what, "workers make it again within seconds: start one where none runs");
                }
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// Finds what is in flight and is not there.
    pub(super) async fn in_flight(&mut self, level: Level) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let [gone] = self.pages(String::new(), |after| script::audit_in_flight(keys, level, after)).await?;
        let key = keys.ready(level);
        let remedy =
            format!("the entry was deleted or trimmed by hand, and its message with it: XACK {key} {GROUP} {{name}}");
        self.violations(key, &gone, "is in flight, and its entry is gone", &remedy);
        Ok(())
    }
}
