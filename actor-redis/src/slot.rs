//! What a message holds of its queue's limits, from when it left its lane to its settlement.

use std::fmt::Write as _;
use std::time::Duration;

use actor_core::{Key, Lane, Priority};
use bytes::Bytes;

/// A slot as an entry's field has it: what the message costs, the us that its lane was charged, and the key, parted by
/// blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot<'a> {
    pub(crate) cost: u32,
    /// In us; 0 where lanes are not charged by run time.
    pub(crate) charged: u64,
    pub(crate) key: &'a str,
}

impl<'a> Slot<'a> {
    /// `None` where there is none, and for what this broker did not write.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.splitn(3, ' ');
        let (cost, charged, key) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { cost: cost.parse().ok()?, charged: charged.parse().ok()?, key })
    }

    pub(crate) fn lane(&self) -> Option<Lane> {
        Some(Lane::new(Key::new(self.key).ok()?).cost(self.cost))
    }
}

/// The end of the name of a lane's list: the first letter of the priority, a colon, and the key.
pub(crate) fn list_name(priority: Priority, key: &str) -> String {
    let letter = match priority {
        Priority::High => 'h',
        Priority::Normal => 'n',
        Priority::Low => 'l',
    };
    format!("{letter}:{key}")
}

/// A message as its lane's list has it: `+` for a suspect, its cost, a blank, and the body.
pub(crate) fn listed_text(cost: u32, suspect: bool, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + 12);
    if suspect {
        text.push(b'+');
    }
    text.extend_from_slice(cost.to_string().as_bytes());
    text.push(b' ');
    text.extend_from_slice(body);
    text
}

/// The body in the text of a lane's list.
pub(crate) fn body_of(text: Vec<u8>) -> Bytes {
    let at = text.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
    Bytes::from(text).slice(at..)
}

/// What stands in a member of `scheduled` for the lane and the unique key, behind the level.
pub(crate) fn scheduled_holds(text: &mut String, lane: Option<&Lane>, unique: &str) {
    // Writing to a text does not fail.
    if let Some(lane) = lane {
        let key = lane.key.as_str();
        let _ = write!(text, "@{},{},{key}", lane.cost, key.len());
    }
    if !unique.is_empty() {
        let _ = write!(text, "!{},{unique}", unique.len());
    }
}

/// The microseconds of a run.
pub(crate) fn ran_us(ran: Duration) -> u64 {
    u64::try_from(ran.as_micros()).unwrap_or(u64::MAX).min(1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_as_a_script_writes_it_whatever_its_key() {
        for key in ["", "a", "two words", "\n:@\0"] {
            let text = format!("5 1200 {key}");
            assert_eq!(Slot::parse(text.as_bytes()), Some(Slot { cost: 5, charged: 1200, key }));
        }
        for text in ["", "5", "5 1", "x 1 a"] {
            assert_eq!(Slot::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_body_is_what_was_put_into_the_list() {
        for (cost, suspect) in [(1, false), (1, true), (500, false)] {
            assert_eq!(body_of(listed_text(cost, suspect, b"{ \"v\": 2 }")), &b"{ \"v\": 2 }"[..]);
        }
    }
}
