//! What follows from a run exists if and only if the run counts, and arrives once, in every state that can be reached.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test ends where something is not as it should be.

use std::collections::BTreeSet;

use model::check::Machine;
use model::following::rules::Broken;
use model::following::{Faults, Following, promises};

const NONE: Faults = Faults { crashes: 0, mistakes: 0, losses: 0, refusals: 0 };

/// One message from which two follow, and two workers.
const SMALL: Following =
    Following { messages: 1, follow: 2, workers: 2, max_retries: 0, at_once: 2, faults: NONE, broken: None };

/// Visits every state. None may break a promise. Says what has happened on the way.
fn explored(machine: Following) -> BTreeSet<&'static str> {
    let verdict = machine.explore();
    println!("{} states of {machine:?}", verdict.states);
    assert_eq!(verdict.broken, [""; 0], "broken by {machine:?}");
    verdict.happened
}

#[test]
fn a_death_at_any_step_a_lost_answer_and_a_late_request_break_no_promise_and_all_that_should_be_possible_happens() {
    let faults = Faults { crashes: 1, mistakes: 1, losses: 1, ..NONE };
    assert_eq!(explored(Following { faults, ..SMALL }), promises::POSSIBLE.into());
}

#[test]
fn a_queue_that_refuses_any_of_what_is_brought_breaks_no_promise() {
    let faults = Faults { crashes: 1, losses: 1, refusals: 2, ..NONE };
    assert!(explored(Following { faults, ..SMALL }).contains(promises::PART));
    explored(Following { faults, at_once: 1, ..SMALL });
}

#[test]
fn an_outbox_that_is_emptied_and_used_again_breaks_no_promise() {
    let two = Following { messages: 2, follow: 1, ..SMALL };
    let faults = Faults { crashes: 1, losses: 1, ..NONE };
    assert!(explored(Following { faults, ..two }).contains(promises::AGAIN));
    explored(Following { faults: Faults { losses: 2, ..NONE }, ..two });
    explored(Following { faults: Faults { mistakes: 1, losses: 1, ..NONE }, ..two });
}

#[test]
fn three_relays_at_once_break_no_promise() {
    explored(Following { workers: 3, faults: Faults { crashes: 1, losses: 1, ..NONE }, ..SMALL });
}

#[test]
fn a_failure_that_is_tried_again_has_nothing_follow() {
    let faults = Faults { crashes: 1, mistakes: 1, losses: 1, ..NONE };
    explored(Following { follow: 1, max_retries: 1, faults, ..SMALL });
}

/// So that a state of rest is always reached, and what holds there comes true: nothing stays in an outbox for ever.
#[test]
fn every_way_ends() {
    let faults = Faults { crashes: 1, mistakes: 1, losses: 1, refusals: 1 };
    assert!(Following { faults, ..SMALL }.every_way_ends());
}

/// A rule that could be broken without anything coming of it would not be needed, or not be modelled.
#[test]
fn every_broken_rule_is_caught() {
    for broken in Broken::ALL {
        let trace = broken.machine().shortest(broken.breaks(), 20);
        let trace = trace.unwrap_or_else(|| panic!("{broken:?} breaks nothing"));
        println!("{broken:?}: {}\n{trace}\n", broken.text());
    }
}

#[test]
fn the_page_shows_what_comes_of_a_relay_that_reads_on_and_of_an_outbox_that_forgets() {
    let page = include_str!("../../../docs/model.md");
    for broken in [Broken::ReadsOn, Broken::ForgetsNumber] {
        let trace = broken.machine().shortest(broken.breaks(), 20).unwrap().to_string();
        assert!(page.contains(&trace), "docs/model.md does not show:\n{trace}");
    }
}
