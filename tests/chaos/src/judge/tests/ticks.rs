//! Each tick has one message.

use actor_core::MessageId;

use super::super::TICKS;
use super::*;
use crate::history::What;

#[test]
fn a_tick_that_is_missing_or_has_two_messages_breaks_it() {
    let with = |seconds: &[u64]| {
        let mut case = baseline();
        for (nth, second) in seconds.iter().enumerate() {
            let ticked = What::Ticked { at: second * 1_000, id: MessageId::new() };
            case.harness(s(10 + nth as u64), ticked);
        }
        case
    };
    holds(with(&[3, 4, 6, 5]));
    breaks(with(&[3, 5]), TICKS, "the tick 4000 has 0 messages");
    breaks(with(&[3, 4, 4, 5]), TICKS, "the tick 4000 has 2 messages");
}
