//! Unique keys: each names a message that is there, and no message holds one that names another.

use super::Auditor;
use crate::error::RequestError;
use crate::keys::Level;
use crate::script;

impl Auditor<'_> {
    /// Finds keys without a message.
    pub(super) async fn unique(&mut self) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let [holders, followers, ..] = &keys.unique;
        let [astray, unscheduled] = self.pages("0".to_owned(), |cursor| script::audit_unique(keys, cursor)).await?;
        let remedy = "its message was deleted by hand or lost: the next message of this key takes it over, and \
                      `RedisBroker::repair` frees it";
        self.violations(holders, &astray, "is a unique key whose message is nowhere", remedy);
        let remedy = "it was deleted by hand: HDEL {key} {name}".replace("{key}", followers);
        self.violations(followers, &unscheduled, "is the key of a message that should follow, and is nowhere", &remedy);
        for level in Level::ALL {
            let [found] = self.pages(String::new(), |after| script::audit_holds(keys, level, after)).await?;
            let what = "holds a unique key that names another message, or none";
            let remedy = "the key was deleted by hand or lost: another message of this key may run beside it";
            self.violations(keys.ready(level), &found, what, remedy);
        }
        Ok(())
    }
}
