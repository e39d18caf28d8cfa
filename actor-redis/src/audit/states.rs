//! Each message is in one state: ready or in flight, scheduled, or a dead letter.

use super::{Auditor, BOTH, PAGE, TWICE, number, text, texts};
use crate::error::RequestError;
use crate::keys::Level;

const TWO_STATES: &str = "two messages were made with one id, or one was written back by hand: look at both, and delete the one that is not meant";

impl Auditor<'_> {
    /// Looks for ready messages that are in another state too.
    pub(super) async fn ready_alone(&mut self, level: Level) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let (scheduled_key, dead_key) = (keys.scheduled_bodies.clone(), keys.dead_bodies.clone());
        let key = keys.ready(level).to_owned();
        let members = Level::ALL.map(|level| format!("{}:", level.name()));
        let page = PAGE.to_string();
        let (mut after, mut read) = (String::new(), 0);
        let (mut scheduled, mut dead_lettered) = (Vec::new(), Vec::new());
        loop {
            let mut args = vec![after.as_str(), page.as_str()];
            args.extend(members.iter().map(String::as_str));
            let answer = self.script(&TWICE, &[&key, &scheduled_key, &dead_key], &args).await?;
            let [last, read_now, both, too] = answer.as_slice() else { return Err(self.strange()) };
            scheduled.extend(texts(both));
            dead_lettered.extend(texts(too));
            after = text(last).unwrap_or_default();
            if !self.may_go_on(number(read_now).unwrap_or_default(), &mut read) || after.is_empty() {
                break;
            }
        }
        self.violations(&key, &scheduled, "holds a message that is scheduled too", TWO_STATES);
        self.violations(&key, &dead_lettered, "holds a message that is a dead letter too", TWO_STATES);
        Ok(())
    }

    /// Looks for scheduled messages that are dead letters too.
    pub(super) async fn scheduled_alone(&mut self) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let (scheduled_key, dead_key) = (keys.scheduled_bodies.clone(), keys.dead_bodies.clone());
        let page = PAGE.to_string();
        let (mut cursor, mut read, mut both) = ("0".to_owned(), 0, Vec::new());
        loop {
            let answer = self.script(&BOTH, &[&scheduled_key, &dead_key], &[&cursor, &page]).await?;
            let [next, read_now, found] = answer.as_slice() else { return Err(self.strange()) };
            both.extend(texts(found));
            cursor = text(next).unwrap_or_default();
            if !self.may_go_on(number(read_now).unwrap_or_default(), &mut read) || cursor.is_empty() {
                break;
            }
        }
        // A hash that changes meanwhile may show a field twice.
        both.sort_unstable();
        both.dedup();
        self.violations(&scheduled_key, &both, "is scheduled, and is a dead letter too", TWO_STATES);
        Ok(())
    }
}
