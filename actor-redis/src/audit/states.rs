//! Each message is in one state: ready or in flight, scheduled, or a dead letter.

use super::Auditor;
use crate::error::RequestError;
use crate::keys::Level;
use crate::script;

const TWO_STATES: &str = "two messages were made with one id, or one was written back by hand: compare both, and delete the one that is not meant";

impl Auditor<'_> {
    /// Finds ready messages that are in another state too.
    pub(super) async fn ready_alone(&mut self, level: Level) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let [scheduled, dead] = self.pages(String::new(), |after| script::audit_twice(keys, level, after)).await?;
        self.violations(keys.ready(level), &scheduled, "holds a message that is scheduled too", TWO_STATES);
        self.violations(keys.ready(level), &dead, "holds a message that is a dead letter too", TWO_STATES);
        Ok(())
    }

    /// Finds scheduled messages that are dead letters too.
    pub(super) async fn scheduled_alone(&mut self) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let [both] = self.pages("0".to_owned(), |cursor| script::audit_both(keys, cursor)).await?;
        self.violations(&keys.scheduled_bodies, &both, "is scheduled, and is a dead letter too", TWO_STATES);
        Ok(())
    }
}
