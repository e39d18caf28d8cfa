//! Finding a message by its id among those that are ready or in flight: entries have ids of their own.

use actor_core::MessageId;

use crate::connection::ANSWER;
use crate::entry::EntryId;
use crate::error::RequestError;
use crate::inspect::Inspector;
use crate::keys::{LEVELS, Level};
use crate::place::Place;
use crate::request::Request;
use crate::script;

/// How many entries one call of the script reads at most: about half a millisecond of the server's time.
const AT_ONCE: usize = 256;
/// By how much the clocks of a sender and the server may differ for the message to be found at once.
const CLOCKS_MS: u64 = 1_000;
/// How long after its id was made a message is usually stored.
const SENT_WITHIN_MS: u64 = 10_000;

/// Where a message stands.
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) in_flight: bool,
}

/// What a bounded search came to.
pub(crate) enum Sought {
    Found(Found),
    /// It is no entry.
    Nowhere,
    /// There are more entries than were looked at.
    Unknown,
}

/// The first and the last entry to look at.
type Range = (String, String);

impl Inspector<'_> {
    /// Looks where the id's time says, then at what became ready later, as by a retry, then at the rest: at all levels
    /// together, one page of each in a round trip.
    pub(super) async fn find(&self, id: MessageId) -> Result<Option<Found>, RequestError> {
        Ok(match self.seek(id, usize::MAX).await? {
            Sought::Found(found) => Some(found),
            Sought::Nowhere | Sought::Unknown => None,
        })
    }

    /// The same, in so many round trips at most.
    pub(crate) async fn seek(&self, id: MessageId, mut pages: usize) -> Result<Sought, RequestError> {
        for (from, to) in ranges(id) {
            let mut next: [Option<String>; LEVELS] = std::array::from_fn(|_| Some(from.clone()));
            while next.iter().any(Option::is_some) {
                let Some(left) = pages.checked_sub(1) else { return Ok(Sought::Unknown) };
                pages = left;
                let mut request = Request::new("inspect");
                let open: Vec<Level> =
                    Level::ALL.into_iter().filter(|level| next[usize::from(level.place())].is_some()).collect();
                for level in &open {
                    let from = next[usize::from(level.place())].as_deref().unwrap_or("-");
                    request.call(script::seek(self.keys, *level, id, from, &to, AT_ONCE));
                }
                let answers = self.connections.request(&request, ANSWER).await?;
                for (level, answer) in open.into_iter().zip(answers) {
                    let (entry, in_flight, last): (Vec<u8>, bool, Vec<u8>) = self.connections.parse(answer?)?;
                    if let Some(id) = EntryId::parse(&entry) {
                        return Ok(Sought::Found(Found { place: Place { level, id }, in_flight }));
                    }
                    next[usize::from(level.place())] = EntryId::parse(&last).map(|last| format!("({last}"));
                }
            }
        }
        Ok(Sought::Nowhere)
    }
}

fn ranges(id: MessageId) -> Vec<Range> {
    let id = id.as_uuid();
    if id.get_version_num() != 7 {
        return vec![("-".to_owned(), "+".to_owned())];
    }
    let made = id.as_u64_pair().0 >> 16;
    let first = made.saturating_sub(CLOCKS_MS);
    let last = made.saturating_add(SENT_WITHIN_MS);
    let mut ranges = vec![(first.to_string(), last.to_string()), ((last + 1).to_string(), "+".to_owned())];
    ranges.extend(first.checked_sub(1).map(|before| ("-".to_owned(), before.to_string())));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_in_one_range() {
        let id: MessageId = "01912d68-783e-7a03-8467-5661c1243ad4".parse().unwrap();
        let expected = [("1723043705942", "1723043716942"), ("1723043716943", "+"), ("-", "1723043705941")];
        let ranges = ranges(id);
        let found: Vec<_> = ranges.iter().map(|(from, to)| (&**from, &**to)).collect();
        assert_eq!(found, expected);
    }
}
