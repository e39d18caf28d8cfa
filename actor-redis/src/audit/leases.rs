//! Leases: whoever holds messages lives, or died a moment ago.

use std::collections::{HashMap, HashSet};

use redis::streams::{StreamInfoConsumer, StreamInfoConsumersReply};

use super::Auditor;
use crate::error::RequestError;
use crate::keys::{GROUP, Level, MARKS};

/// How long after the end of a lease somebody should have recovered what its worker held.
const PATIENCE_MS: f64 = 60_000.0;
/// How many consumers without a lease may stand about. Each is removed by the first recovery.
const MOST_CONSUMERS: usize = 1_000;

impl Auditor<'_> {
    pub(super) async fn leases(&mut self) -> Result<(), RequestError> {
        let now = self.now_ms().await?;
        let workers = self.queue.keys.workers.clone();
        let ends: Vec<(String, f64)> = self.ask(&["ZRANGE", &workers, "0", "-1", "WITHSCORES"]).await?;
        let mut ends: HashMap<_, _> = ends.into_iter().collect();
        // A worker's id has a colon, and does not end like a mark.
        ends.retain(|name, _| name.contains(':') && !MARKS.iter().any(|mark| name.ends_with(mark)));
        let live: HashSet<_> = ends.iter().filter(|(_, end)| **end > now).map(|(name, _)| name.clone()).collect();
        let remedy = if live.is_empty() {
            "no worker of this queue lives: start one"
        } else {
            "the queue is paused, or its workers cannot recover: resume it, or see their logs"
        };
        for (name, end) in &ends {
            if end + PATIENCE_MS < now {
                let seconds = (now - end) / 1_000.0;
                let what =
                    format!("the lease of `{name}` ended {seconds:.0} s ago, and nobody has recovered what it held");
                self.violation(&workers, what, remedy);
            }
        }
        for level in Level::ALL {
            let key = self.queue.keys.ready(level).to_owned();
            let consumers = match self.ask::<StreamInfoConsumersReply>(&["XINFO", "CONSUMERS", &key, GROUP]).await {
                Ok(answer) => answer.consumers.into_iter(),
                // There is no stream, or no group: nothing is in flight.
                Err(error) if error.is_lasting_refusal() => continue,
                Err(error) => return Err(error),
            };
            let leaseless: Vec<_> = consumers.filter(|consumer| !live.contains(&consumer.name)).collect();
            for StreamInfoConsumer { name, pending, idle } in &leaseless {
                let ended = ends.get(name).map_or(u64_ms(*idle as u64), |end| now - end);
                if *pending > 0 && ended > PATIENCE_MS {
                    let what =
                        format!("`{name}`, which has no lease, has held {pending} messages for more than a minute");
                    self.violation(&key, what, remedy);
                }
            }
            if leaseless.len() > MOST_CONSUMERS {
                self.violation(&key, format!("{} consumers have no lease", leaseless.len()), remedy);
            }
        }
        Ok(())
    }

    /// Redis's clock, in ms since 1970.
    pub(super) async fn now_ms(&self) -> Result<f64, RequestError> {
        let (seconds, micros): (u64, u64) = self.ask(&["TIME"]).await?;
        Ok(u64_ms(seconds * 1_000 + micros / 1_000))
    }
}

#[allow(clippy::cast_precision_loss)] // Scores are such numbers, and exact for 280,000 years.
fn u64_ms(ms: u64) -> f64 {
    ms as f64
}
