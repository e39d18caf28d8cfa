//! The protocol keeps its promises in every state that can be reached, and no rule of it is idle.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test ends where something is not as it should be.

use std::collections::BTreeSet;

use model::check::Machine;
use model::promises;
use model::protocol::{Faults, Protocol};
use model::rules::Broken;
use model::unique::OnConflict;

const NONE: Faults = Faults { crashes: 0, absences: 0, losses: 0, stops: 0, changes: 0, erasures: 0 };

/// One message and two workers, one retry, and two deaths that make it a dead letter.
const SMALL: Protocol = Protocol {
    messages: 1,
    keys: 0,
    unique: None,
    workers: 2,
    max_retries: 1,
    max_crashes: 2,
    faults: NONE,
    broken: None,
};

/// Visits every state. None may break a promise. Says what has happened on the way.
fn explored(protocol: &Protocol) -> BTreeSet<&'static str> {
    let verdict = protocol.explore();
    println!("{} states of {protocol:?}", verdict.states);
    assert_eq!(verdict.broken, [""; 0], "broken by {protocol:?}");
    verdict.happened
}

#[test]
fn one_death_one_pause_and_one_lost_answer_break_no_promise_and_all_that_should_be_possible_happens() {
    let happened = explored(&Protocol { faults: Faults { crashes: 1, absences: 1, losses: 1, ..NONE }, ..SMALL });
    assert_eq!(happened, promises::POSSIBLE.into());
}

#[test]
fn two_deaths_and_a_pause_break_no_promise() {
    explored(&Protocol { max_retries: 0, faults: Faults { crashes: 2, absences: 1, ..NONE }, ..SMALL });
}

#[test]
fn a_worker_that_stops_breaks_no_promise_whatever_else_goes_wrong() {
    let faults = Faults { crashes: 1, absences: 1, stops: 1, ..NONE };
    assert!(explored(&Protocol { max_retries: 0, faults, ..SMALL }).contains(promises::INTERRUPTED));
    explored(&Protocol { max_retries: 0, faults: Faults { losses: 2, stops: 1, ..NONE }, ..SMALL });
}

#[test]
fn three_workers_that_recover_from_one_another_break_no_promise() {
    let faults = Faults { crashes: 1, absences: 1, losses: 1, ..NONE };
    explored(&Protocol { workers: 3, max_retries: 0, faults, ..SMALL });
}

#[test]
fn two_messages_on_one_worker_break_no_promise() {
    let two = Protocol { messages: 2, max_retries: 0, ..SMALL };
    explored(&Protocol { faults: Faults { absences: 1, losses: 1, ..NONE }, ..two.clone() });
    explored(&Protocol { faults: Faults { crashes: 1, losses: 1, ..NONE }, ..two });
}

/// Two workers, and two messages of a key whose limit is 1.
const LIMITED: Protocol = Protocol { messages: 2, keys: 1, max_retries: 0, ..SMALL };

#[test]
fn a_limit_is_kept_and_no_slot_leaks_whatever_goes_wrong() {
    explored(&Protocol { faults: Faults { crashes: 1, absences: 1, ..NONE }, ..LIMITED });
    explored(&Protocol { max_retries: 1, faults: Faults { losses: 1, ..NONE }, ..LIMITED });
    explored(&Protocol { faults: Faults { crashes: 1, stops: 1, ..NONE }, ..LIMITED });
}

#[test]
fn a_limit_that_is_changed_holds_from_the_next_grant_on() {
    let faults = Faults { absences: 1, changes: 2, ..NONE };
    assert!(explored(&Protocol { faults, ..LIMITED }).contains(promises::RAISED));
}

#[test]
fn two_keys_wait_for_their_own_limits() {
    let three = Protocol { messages: 3, keys: 2, ..LIMITED };
    explored(&Protocol { faults: Faults { crashes: 1, ..NONE }, ..three.clone() });
    explored(&Protocol { faults: Faults { absences: 1, ..NONE }, ..three });
}

/// Two workers, and three messages of a unique key.
const UNIQUE: Protocol = Protocol { messages: 3, unique: Some(OnConflict::Keep), max_retries: 0, ..SMALL };

#[test]
fn of_a_unique_key_there_is_one_message_whatever_goes_wrong() {
    explored(&Protocol { messages: 2, faults: Faults { crashes: 1, absences: 1, ..NONE }, ..UNIQUE });
    explored(&Protocol { max_retries: 1, faults: Faults { losses: 1, ..NONE }, ..UNIQUE });
    explored(&Protocol { faults: Faults { crashes: 1, stops: 1, ..NONE }, ..UNIQUE });
}

#[test]
fn what_follows_a_message_of_its_unique_key_runs_after_it() {
    let again = Protocol { unique: Some(OnConflict::RunAgain), ..UNIQUE };
    let faults = Faults { absences: 1, ..NONE };
    assert!(explored(&Protocol { faults, ..again.clone() }).contains(promises::FOLLOWED));
    explored(&Protocol { max_retries: 1, faults: Faults { crashes: 1, ..NONE }, ..again });
}

#[test]
fn the_unique_key_of_a_message_that_redis_lost_is_taken_over() {
    let faults = Faults { absences: 1, erasures: 1, ..NONE };
    assert!(explored(&Protocol { messages: 2, faults, ..UNIQUE }).contains(promises::TAKEN_OVER));
    explored(&Protocol { unique: Some(OnConflict::RunAgain), faults: Faults { erasures: 1, ..NONE }, ..UNIQUE });
}

#[test]
fn a_message_holds_its_unique_key_in_its_lane_too() {
    explored(&Protocol { keys: 1, faults: Faults { absences: 1, ..NONE }, ..UNIQUE });
}

/// So that a state of rest is always reached, and what holds there comes true.
#[test]
fn every_way_ends() {
    let protocol = Protocol { faults: Faults { crashes: 1, absences: 1, losses: 1, ..NONE }, ..SMALL };
    assert!(protocol.every_way_ends());
    let limited = Protocol { faults: Faults { absences: 1, changes: 2, ..NONE }, ..LIMITED };
    assert!(limited.every_way_ends());
    let faults = Faults { absences: 1, erasures: 1, ..NONE };
    assert!(Protocol { messages: 2, unique: Some(OnConflict::RunAgain), faults, ..UNIQUE }.every_way_ends());
}

/// A rule that could be broken without anything coming of it would not be needed, or not be modelled.
#[test]
fn every_broken_rule_is_caught() {
    for broken in Broken::ALL {
        let trace = broken.protocol().shortest(broken.breaks(), 20);
        let trace = trace.unwrap_or_else(|| panic!("{broken:?} breaks nothing"));
        println!("{broken:?}: {}\n{trace}\n", broken.text());
    }
}

#[test]
fn the_page_shows_what_comes_of_settling_without_asking_who_holds_the_message() {
    let page = include_str!("../../../docs/model.md");
    for broken in [Broken::SettlesWithoutOwner, Broken::DeadTakeOver, Broken::FreesStale, Broken::ReleasesAnothersKey] {
        let trace = broken.protocol().shortest(broken.breaks(), 20).unwrap().to_string();
        assert!(page.contains(&trace), "docs/model.md does not show:\n{trace}");
    }
}
