//! Where a message stands, as far as a bounded number of looks can tell.

use std::time::{Duration, SystemTime};

use actor_core::MessageId;
use actor_core::results::Standing;

use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::inspect::{Inspector, Sought};
use crate::request::Request;
use crate::script;

/// How many pages of each ready stream, and of the lanes, are looked at.
const PAGES: usize = 4;

impl Inspector<'_> {
    pub(super) async fn standing(&self, id: MessageId) -> Result<Standing, RequestError> {
        let request = Request::of("inspect", script::standing(self.keys, id).into_iter());
        let answers = self.connections.request(&request, ANSWER).await?;
        let [scheduled, dead, waiting] =
            <[_; 3]>::try_from(answers).map_err(|_| self.connections.strange("of a message"))?;
        let due = self.connections.parse::<Vec<Option<f64>>>(scheduled?)?.into_iter().flatten().next();
        if let Some(due) = due {
            // A score is a whole number of ms, and fits.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            return Ok(Standing::Scheduled { until: script::time(due as u64) });
        }
        if self.connections.parse::<Option<f64>>(dead?)?.is_some() {
            return Ok(Standing::Dead);
        }
        let mut all_seen = true;
        match self.seek(id, PAGES).await? {
            Sought::Found(found) if !found.in_flight => return Ok(Standing::Ready),
            Sought::Found(found) => {
                let command = script::in_flight(self.keys, found.place);
                let pending: Vec<(String, String, u64, u64)> = self.connections.ask(&command).await?;
                // It may have ended just now.
                return Ok(pending.first().map_or(Standing::Pending, |(_, _, idle_ms, _)| Standing::InFlight {
                    since: before(self.connections.now(), *idle_ms),
                }));
            }
            Sought::Nowhere => {}
            Sought::Unknown => all_seen = false,
        }
        if self.connections.parse::<u64>(waiting?)? > 0 {
            match self.seek_in_lanes(id, PAGES).await? {
                Some(true) => return Ok(Standing::Waiting),
                Some(false) => {}
                None => all_seen = false,
            }
        }
        Ok(if all_seen { Standing::Nowhere } else { Standing::Pending })
    }
}

fn before(now: SystemTime, ms: u64) -> SystemTime {
    now.checked_sub(Duration::from_millis(ms)).unwrap_or(now)
}
