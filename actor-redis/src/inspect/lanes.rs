//! Messages that wait in lanes.

use actor_core::MessageId;
use actor_core::inspect::{Cursor, Handle, Listed, Listing};

use super::Inspector;
use super::list::{PAGE_BYTES, PART};
use crate::error::RequestError;
use crate::script::{self, InLane, InList, LanesAt};
use crate::slot::body_of;

/// How many lanes one step purges.
const PURGED: usize = 250;

/// How many waiting messages one call of a search reads at most.
const AT_ONCE: usize = 512;

/// What a handle names: its lane, and where it stood in it.
pub(super) fn read_handle(handle: &Handle) -> Option<InLane> {
    let mut parts = handle.as_str().splitn(4, ':').map(str::to_owned);
    let (letter, place, hash, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(InLane { letter, place: place.parse().ok()?, hash, key })
}

fn listed((key, letter, place, hash, text): InList) -> Listed {
    Listed::new(Handle::new(format!("{letter}:{place}:{hash}:{key}")), body_of(text))
}

impl Inspector<'_> {
    /// Waiting messages, lane after lane.
    pub(super) async fn waiting(&self, after: Option<&str>, limit: usize) -> Result<Listing, RequestError> {
        let mut at = match after {
            None => ["0".to_owned(), String::new(), "0".to_owned()],
            Some(after) => {
                let mut parts = after.splitn(3, ':').map(str::to_owned);
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(cursor), Some(skip), Some(key)) => [cursor, key, skip],
                    _ => return Ok(Listing::new(Vec::new(), None)),
                }
            }
        };
        let (mut messages, mut bytes) = (Vec::new(), 0);
        loop {
            let count = PART.min(limit - messages.len());
            let [cursor, key, skip] = &at;
            let list = script::list_lanes(self.keys, cursor, key, skip, count);
            let (next, found): script::ListedLanes = self.run(list).await?;
            for message in found.into_iter().map(listed) {
                bytes += message.body.len();
                messages.push(message);
            }
            at = next;
            if at[0].is_empty() {
                return Ok(Listing::new(messages, None));
            }
            if messages.len() >= limit || bytes >= PAGE_BYTES {
                let [cursor, key, skip] = at;
                return Ok(Listing::new(messages, Some(Cursor::new(format!("{cursor}:{skip}:{key}")))));
            }
        }
    }

    /// Waiting messages, lane after lane, each from its end: those that stay are not passed over where others leave.
    pub(super) async fn waiting_from_the_end(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, RequestError> {
        let mut at = begin();
        if let Some(after) = after {
            let mut parts = after.splitn(4, ':').map(str::to_owned);
            let (Some(cursor), Some(letter), Some(place), Some(key)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Ok(Listing::new(Vec::new(), None));
            };
            at = [cursor, key, letter, place];
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < limit && bytes < PAGE_BYTES {
            let search = script::search_lanes(self.keys, &at, PART.min(limit - messages.len()), None);
            let (next, found): (LanesAt, Vec<InList>) = self.run(search).await?;
            for message in found.into_iter().map(listed) {
                bytes += message.body.len();
                messages.push(message);
            }
            at = next;
            if at[0].is_empty() {
                return Ok(Listing::new(messages, None));
            }
        }
        let [cursor, key, letter, place] = at;
        Ok(Listing::new(messages, Some(Cursor::new(format!("{cursor}:{letter}:{place}:{key}")))))
    }

    /// The waiting message of an id.
    pub(super) async fn find_in_lanes(&self, id: MessageId) -> Result<Option<InLane>, RequestError> {
        let mut at = Some(begin());
        while let Some(from) = at {
            match self.search_for(id, &from).await? {
                (_, Some(found)) => return Ok(Some(found)),
                (next, None) => at = next,
            }
        }
        Ok(None)
    }

    /// Whether a message waits in a lane, by so many looks at most: `None` where there is more to look at.
    pub(crate) async fn seek_in_lanes(&self, id: MessageId, looks: usize) -> Result<Option<bool>, RequestError> {
        let mut at = begin();
        for _ in 0..looks {
            at = match self.search_for(id, &at).await? {
                (_, Some(_)) => return Ok(Some(true)),
                (None, None) => return Ok(Some(false)),
                (Some(next), None) => next,
            };
        }
        Ok(None)
    }

    /// Looks on for the waiting message of an id. Says also where to go on.
    async fn search_for(&self, id: MessageId, at: &LanesAt) -> Result<(Option<LanesAt>, Option<InLane>), RequestError> {
        let search = script::search_lanes(self.keys, at, AT_ONCE, Some(id));
        let (next, mut found): (LanesAt, Vec<InList>) = self.run(search).await?;
        let found = found.pop().map(|(key, letter, place, hash, _)| InLane { key, letter, place, hash });
        Ok((Some(next).filter(|next| !next[0].is_empty()), found))
    }

    /// One waiting message, read again.
    pub(super) async fn read_waiting(&self, handle: &Handle) -> Result<Option<Listed>, RequestError> {
        let Some(message) = read_handle(handle) else { return Ok(None) };
        let text: Option<Vec<u8>> = self.run(script::find_waiting(self.keys, &message)).await?;
        Ok(text.map(|text| Listed::new(handle.clone(), body_of(text))))
    }

    pub(super) async fn delete_waiting(&self, handle: &Handle) -> Result<bool, RequestError> {
        let Some(message) = read_handle(handle) else { return Ok(false) };
        Ok(self.withdraw_waiting(&[message]).await? > 0)
    }

    /// Deletes messages that wait. Returns how many were there.
    pub(super) async fn withdraw_waiting(&self, messages: &[InLane]) -> Result<u64, RequestError> {
        self.run(script::withdraw_waiting(self.keys, messages)).await
    }

    /// Deletes the waiting message of an id. Returns whether there was one.
    pub(super) async fn withdraw_waiting_by_id(&self, id: MessageId) -> Result<bool, RequestError> {
        let Some(message) = self.find_in_lanes(id).await? else { return Ok(false) };
        Ok(self.withdraw_waiting(&[message]).await? > 0)
    }

    pub(super) async fn purge_waiting(&self) -> Result<u64, RequestError> {
        let mut purged = 0;
        loop {
            let (count, left): (u64, u64) = self.run(script::purge_lanes(self.keys, PURGED)).await?;
            purged += count;
            if count == 0 || left == 0 {
                return Ok(purged);
            }
        }
    }
}

fn begin() -> LanesAt {
    ["0".to_owned(), String::new(), String::new(), String::new()]
}
