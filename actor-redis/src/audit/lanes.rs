//! Lanes: the slots that are counted are held, and what waits is counted and looked at.

use super::Auditor;
use crate::error::RequestError;
use crate::request::Request;
use crate::script;

/// The lanes that the gate knows, by where it has them.
pub(super) const LANES: [&str; 4] = ["waiting", "open", "closed", "full"];

impl Auditor<'_> {
    pub(super) async fn lanes(&mut self) -> Result<(), RequestError> {
        let keys = &self.queue.keys;
        let recount = script::recount(keys, script::Recount::All { repairs: false });
        let recounted = self.connections.run(Request::calling("inspect", recount)).await?;
        let (complete, read, differences): script::Recounted = recounted;
        self.audit.read += read;
        self.audit.complete &= complete;
        let running = keys.lanes[4].clone();
        let whole = differences
            .iter()
            .filter(|(key, ..)| key.is_empty())
            .map(|(_, believed, held)| format!("{believed} slots are counted as taken, and messages hold {held}"));
        let whole: Vec<_> = whole.collect();
        let of_keys: Vec<_> = differences
            .iter()
            .filter(|(key, ..)| !key.is_empty())
            .map(|(key, believed, held)| format!("{key}` ({believed} counted, {held} held) `"))
            .collect();
        const REMEDY: &str = "workers count again within a minute; `RedisBroker::repair` does it now";
        for what in whole {
            self.violation(&keys.gate, what, REMEDY);
        }
        self.violations(&running, &of_keys, "has other slots than its messages hold", REMEDY);
        for which in LANES {
            let [miscounted, forgotten] =
                self.pages(String::new(), |from| script::audit_lanes(keys, which, from, false)).await?;
            let remedy = "it was changed by hand: `RedisBroker::repair` counts it again";
            self.violations(&keys.lanes[5], &miscounted, "has other messages than are counted", remedy);
            let remedy = "an index was deleted: `RedisBroker::repair` puts it back";
            self.violations(&keys.lanes[0], &forgotten, "has messages, and nothing lets them go", remedy);
        }
        Ok(())
    }
}
