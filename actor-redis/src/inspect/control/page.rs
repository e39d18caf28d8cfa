//! Changing all that match a filter, a page of a listing at a time.

use actor_core::control::{Change, Changed, Filter};
use actor_core::inspect::{Cursor, Listed, State};
use actor_core::{MessageId, wire};

use crate::error::RequestError;
use crate::inspect::lanes::read_handle;
use crate::inspect::{Inspector, read_entry_handle};
use crate::place::Place;
use crate::request::fitting;
use crate::script::{self, Due, Indexed, Withdrawn};

/// How many messages a page has at most.
const PAGE: usize = 500;
/// How many messages one script changes at most.
const AT_ONCE: usize = 64;

/// Where a page begins.
struct Begin<'a> {
    /// Which of the change's states it is of.
    state: usize,
    /// When what is rescheduled is due, once that is known.
    due: &'a str,
    /// The listing's own cursor; `""` for its beginning.
    after: &'a str,
}

impl<'a> Begin<'a> {
    fn read(cursor: Option<&'a Cursor>) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self { state: 0, due: "", after: "" }) };
        let mut parts = cursor.as_str().splitn(3, ' ');
        Some(Self { state: parts.next()?.parse().ok()?, due: parts.next()?, after: parts.next()? })
    }

    fn cursor(state: usize, due: Option<&str>, after: &str) -> Cursor {
        Cursor::new(format!("{state} {} {after}", due.unwrap_or_default()))
    }
}

/// The states that a change goes through, in the order in which messages pass from one to the next.
fn states(change: Change) -> Result<&'static [State], RequestError> {
    match change {
        Change::Cancel => Ok(&[State::Scheduled, State::Waiting, State::Ready, State::InFlight]),
        Change::Delete => Ok(&[State::Scheduled, State::Waiting, State::Ready, State::Dead]),
        Change::Reschedule(_) => Ok(&[State::Scheduled, State::Waiting, State::Ready]),
        _ => Err(RequestError::Unsupported("this change")),
    }
}

impl Inspector<'_> {
    pub(super) async fn change_page(
        &self,
        change: Change,
        filter: &Filter,
        after: Option<&Cursor>,
    ) -> Result<Changed, RequestError> {
        let begin = Begin::read(after).ok_or(RequestError::Unsupported("this cursor"))?;
        let states: Vec<State> = states(change)?
            .iter()
            .copied()
            .filter(|state| filter.only_state().is_none_or(|only| only == *state))
            .collect();
        let Some(state) = states.get(begin.state).copied() else { return Ok(Changed::default()) };
        let cursor = (!begin.after.is_empty()).then(|| Cursor::new(begin.after));
        let listing = match state {
            State::Waiting => self.waiting_from_the_end(cursor.as_ref().map(Cursor::as_str), PAGE).await?,
            _ => self.list(state, cursor.as_ref(), PAGE).await?,
        };
        let matching: Vec<Listed> =
            listing.messages.into_iter().filter(|message| filter.matches(&message.body)).collect();
        let mut due = match change {
            Change::Reschedule(after) => Some(Due { after, at: (!begin.due.is_empty()).then(|| begin.due.to_owned()) }),
            _ => None,
        };
        let mut changed = Changed::default();
        let mut rest = &matching[..];
        while !rest.is_empty() {
            let fits = fitting(rest.iter().map(|message| message.body.len())).min(AT_ONCE);
            let (part, after) = rest.split_at(fits);
            rest = after;
            match &mut due {
                Some(due) => changed.changed += self.reschedule_all(state, due, part).await?,
                None => self.remove_all(change, state, part, &mut changed).await?,
            }
        }
        let at = due.and_then(|due| due.at);
        changed.next = match listing.next {
            Some(next) => Some(Begin::cursor(begin.state, at.as_deref(), next.as_str())),
            None if begin.state + 1 < states.len() => Some(Begin::cursor(begin.state + 1, at.as_deref(), "")),
            None => None,
        };
        Ok(changed)
    }

    async fn remove_all(
        &self,
        change: Change,
        state: State,
        messages: &[Listed],
        changed: &mut Changed,
    ) -> Result<(), RequestError> {
        let indexed = match state {
            State::Scheduled => Indexed::Scheduled,
            State::Dead => Indexed::Dead,
            State::Waiting => {
                let messages: Vec<_> = messages.iter().filter_map(|message| read_handle(&message.handle)).collect();
                changed.changed += self.withdraw_waiting(&messages).await?;
                return Ok(());
            }
            _ => {
                let (name, cancels) = if change == Change::Cancel { ("cancel", true) } else { ("inspect", false) };
                // What has no id cannot be told to end.
                let id = |message: &Listed| if cancels { wire::id(&message.body) } else { None };
                let places: Vec<(Place, Option<MessageId>)> =
                    messages.iter().filter_map(|message| Some((place(message)?, id(message)))).collect();
                for (withdrawn, (_, id)) in self.withdraw(name, &places).await?.into_iter().zip(&places) {
                    changed.changed += u64::from(withdrawn == Withdrawn::Removed);
                    changed.requested += u64::from(withdrawn == Withdrawn::InFlight && id.is_some());
                }
                return Ok(());
            }
        };
        let removed: u64 = self.run(script::remove_all(self.keys, indexed, &members(messages))).await?;
        changed.changed += removed;
        Ok(())
    }

    /// Returns how many moved. What an earlier page has moved is due then already, and does not move again.
    async fn reschedule_all(&self, state: State, due: &mut Due, messages: &[Listed]) -> Result<u64, RequestError> {
        if state == State::Scheduled {
            let (_, moved, at): (u64, u64, String) =
                self.run(script::due_at(self.keys, due, &members(messages))).await?;
            due.at = Some(at);
            return Ok(moved);
        }
        if due.after.is_zero() {
            return Ok(0);
        }
        // What has no id is scheduled as its entry is named.
        let id = |message: &Listed| {
            wire::id(&message.body).map_or_else(|| message.handle.as_str().to_owned(), |id| id.to_string())
        };
        let postpone = if state == State::Waiting {
            let in_lane = |message: &Listed| Some((read_handle(&message.handle)?, id(message)));
            script::postpone_waiting(self.keys, due, &messages.iter().filter_map(in_lane).collect::<Vec<_>>())
        } else {
            let placed = |message: &Listed| Some((place(message)?, id(message)));
            script::postpone(self.keys, due, &messages.iter().filter_map(placed).collect::<Vec<_>>())
        };
        let (moved, at): (u64, String) = self.run(postpone).await?;
        due.at = Some(at);
        Ok(moved)
    }
}

fn place(message: &Listed) -> Option<Place> {
    let (level, id) = read_entry_handle(message.handle.as_str())?;
    Some(Place { level, id })
}

fn members(messages: &[Listed]) -> Vec<String> {
    messages.iter().map(|message| message.handle.as_str().to_owned()).collect()
}
