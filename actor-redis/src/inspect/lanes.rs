//! Messages that wait in lanes.

use actor_core::inspect::{Cursor, Handle, Listed, Listing};

use super::Inspector;
use super::list::{PAGE_BYTES, PART};
use crate::error::RequestError;
use crate::script;
use crate::slot::body_of;

/// How many lanes one step purges.
const PURGED: usize = 250;

/// What names a waiting message: its lane, and where it stood in it.
struct WaitingHandle<'a> {
    letter: &'a str,
    place: u64,
    hash: &'a str,
    key: &'a str,
}

impl<'a> WaitingHandle<'a> {
    fn parse(handle: &'a Handle) -> Option<Self> {
        let mut parts = handle.as_str().splitn(4, ':');
        let (letter, place, hash, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { letter, place: place.parse().ok()?, hash, key })
    }
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
            for (key, letter, place, hash, text) in found {
                let body = body_of(text);
                bytes += body.len();
                messages.push(Listed::new(Handle::new(format!("{letter}:{place}:{hash}:{key}")), body));
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

    /// One waiting message, read again.
    pub(super) async fn read_waiting(&self, handle: &Handle) -> Result<Option<Listed>, RequestError> {
        let text = self.find_waiting(handle, false).await?;
        Ok(text.map(|text| Listed::new(handle.clone(), body_of(text))))
    }

    pub(super) async fn delete_waiting(&self, handle: &Handle) -> Result<bool, RequestError> {
        Ok(self.find_waiting(handle, true).await?.is_some())
    }

    async fn find_waiting(&self, handle: &Handle, deletes: bool) -> Result<Option<Vec<u8>>, RequestError> {
        let Some(WaitingHandle { letter, place, hash, key }) = WaitingHandle::parse(handle) else { return Ok(None) };
        self.run(script::find_waiting(self.keys, key, letter, place, hash, deletes)).await
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
