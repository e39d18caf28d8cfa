//! A history in which every rule is checked and holds. The other cases change one thing each.

use super::super::{
    AFTER, ANSWERED, BLAMED, DEPLOYED, DISPLACED, ENDED, FEW, FOLLOWED, FREED, IDLE, IN_ORDER, KNOWN, LATE,
    LEASES_KEPT, LIMITED, ONCE, PROMPT, RATED, RECOVERED, REMOVED, REPLACED, SERVED, SOLE, SOON, SPARED_QUEUES, STOOD,
    STOPPED, TOLD, WAITS,
};
use super::*;
use crate::fault::Fault;
use crate::history::{self, CancelAnswer, How, What};

/// A worker that no fault hits.
pub(super) const SPARED: usize = 1;
/// Another that no fault hits in the baseline.
pub(super) const OTHER: usize = 2;
/// One that dies at 30 s.
pub(super) const VICTIM: usize = 3;
/// The worker that takes its place.
pub(super) const RECOVERER: usize = 4;
/// A worker that is asked to stop at 48 s, and dies at 50 s.
pub(super) const STOPPING: usize = 5;

/// The end of the faults, and the end of sending. Tests add their events between 100 s and here.
pub(super) const CALM: u64 = s(400);
pub(super) const DRAIN: u64 = s(408);
const END: u64 = s(420);

pub(super) fn baseline() -> Case {
    let mut case = Case::new();
    case.is_about(&[Fault::KillRedis]);
    let names = [("worker-0-0", 0, END), ("worker-1-0", 0, END), ("worker-2-0", 0, s(30)), ("worker-2-1", s(31), END)];
    for (name, from, until) in names {
        let process = case.worker(name, (from, until));
        case.spawned(process, from);
    }
    case.dies(VICTIM, s(30));

    case.does(OTHER, s(1));
    let retried = case.sent("plain", s(2));
    case.runs(OTHER, retried, (s(2), s(3)), FIRST, How::Failed);
    case.settled(OTHER, retried, s(3), 1, 1);
    case.runs(SPARED, retried, (s(3) + 50 * MS, s(4)), AGAIN, How::Done);
    case.keyed(retried, s(2), "plain:1", Some("order-1"));
    let scheduled = case.invoked("plain", s(3), s(2));
    case.harness(s(3), What::Acknowledged { id: scheduled });
    case.runs(OTHER, scheduled, (s(5), s(6)), FIRST, How::Done);
    let always_fails = case.sent("always_fails", s(8));
    for (token, at) in [(1, 8), (2, 9), (3, 10)] {
        let attempt = u32::try_from(token).unwrap();
        case.runs(OTHER, always_fails, (s(at), s(at) + MS), Try { attempt, crashes: 0, token }, How::Failed);
    }
    case.dead_lettered(always_fails, 3, 0, "always_fails");

    let refused = case.invoked("plain", s(11), 0);
    case.harness(s(11), What::Refused { id: refused, why: "out of memory".to_owned() });
    let unknown = case.invoked("plain", s(16), 0);
    case.harness(s(16), What::Unknown { id: unknown, why: "no answer".to_owned() });
    case.harness(s(17), What::Displaced { id: unknown });
    let (newer_format, body) = (case.id("plain"), r#"{"v":3}"#.to_owned());
    case.harness(s(12), What::NewerFormat { id: newer_format, body: body.clone() });
    case.played.storage.newer_format.insert(newer_format, body);

    case.fault("kill_redis", (s(15), s(17)));
    case.away((s(15), s(17)));

    let orphan = case.sent("plain", s(29));
    case.starts(VICTIM, orphan, s(29), FIRST);
    case.runs(SPARED, orphan, (s(33), s(34)), AFTER_A_CRASH, How::Done);

    // Its grace period ends before it released what had not begun.
    let stopping = case.worker("worker-8-0", (s(40), s(50)));
    assert_eq!(stopping, STOPPING);
    let interrupted = case.sent("plain", s(47));
    case.delivered(stopping, interrupted, s(47), FIRST);
    case.asked(stopping, s(48));
    case.dies(stopping, s(50));
    case.runs(SPARED, interrupted, (s(53), s(54)), Try { token: 2, ..FIRST }, How::Done);

    case.fault("kill_primary", (s(55), s(57)));
    case.harness(s(57), What::Switched { sentinel: 7_001, to: 7_000 });
    let threads = history::queues(&["threads"]);
    case.harness(s(2) + 10 * MS, What::Fault { name: "reshard".to_owned(), on: threads.clone() });
    case.harness(s(2) + 20 * MS, What::Healed { name: "reshard".to_owned(), on: threads });

    case.harness(s(60), What::Replaced { user: "app-0".to_owned(), connections: 0 });

    let newest = case.sent("newest", s(60));
    case.runs(OTHER, newest, (s(61), s(62)), FIRST, How::Done);

    let told = case.sent("obedient", s(63));
    case.harness(s(64), What::Cancelled { id: told, answer: CancelAnswer::Requested });
    case.runs(OTHER, told, (s(63), s(65)), FIRST, How::Cancelled);
    let removed = case.invoked("plain", s(63), s(9));
    case.harness(s(63), What::Acknowledged { id: removed });
    case.harness(s(64), What::Cancelled { id: removed, answer: CancelAnswer::Removed });
    let gated = case.waits("a", 1, s(63));
    case.runs(OTHER, gated, (s(63) + 500 * MS, s(64)), FIRST, How::Done);
    case.takes(OTHER, "a", 1, (s(64), s(65)));

    let parent = case.sent("parent", s(68));
    let follow = [(); 2].map(|()| case.follows(OTHER, (parent, 1), s(68), false));
    case.follows(OTHER, (parent, 1), s(68), true);
    case.runs(OTHER, parent, (s(68), s(69)), FIRST, How::Done);
    for (id, at) in follow.into_iter().zip([s(69) + 10 * MS, s(69) + 20 * MS]) {
        case.runs(SPARED, id, (at, at + MS), FIRST, How::Done);
    }

    case.harness(CALM, What::Calm);
    for worker in [SPARED, OTHER, RECOVERER] {
        case.does(worker, CALM + s(1));
    }
    case.harness(DRAIN, What::Draining);
    case
}

#[test]
fn every_rule_is_asked_of_the_baseline_and_holds() {
    let verdict = holds(baseline());
    for finding in &verdict.findings {
        assert!(finding.asked > 0 && finding.excused.is_none(), "{finding:?}");
    }
    // Each rule is checked exactly this often.
    let asked = |rule| verdict.findings.iter().find(|finding| finding.rule == rule).map(|finding| finding.asked);
    for (rule, times) in [
        ("every acknowledged message came to an end", 15),
        ("no refused message ran", 1),
        ("messages of a newer format wait unharmed", 1),
        ("no message ran on two workers whose leases both held", 4),
        (BLAMED, 1),
        (AFTER, 20),
        (STOPPED, 1),
        (DEPLOYED, 1),
        (STOOD, 9),
        (SOLE, 2),
        (DISPLACED, 1),
        (ONCE, 1),
        (ANSWERED, 15),
        (PROMPT, 15),
        (KNOWN, 1),
        (FEW, 1),
        (WAITS, 1),
        (LATE, 3),
        ("every dead letter has a true reason", 1),
        (RECOVERED, 1),
        (LIMITED, 2),
        (RATED, 1),
        (FOLLOWED, 1),
        (IN_ORDER, 1),
        (SOON, 2),
        (IDLE, 1),
        (SERVED, 2),
        (SPARED_QUEUES, 3),
        (REPLACED, 1),
        (REMOVED, 1),
        (ENDED, 1),
        (TOLD, 1),
        ("when all faults are over, every worker works", 3),
        (LEASES_KEPT, 1),
        (FREED, 1),
    ] {
        assert_eq!(asked(rule), Some(times), "{rule}");
    }
}

#[test]
fn what_is_counted_is_what_happened() {
    let mut case = baseline();
    let id = case.last();
    case.harness(s(200), What::Fenced { id, token: 1 });
    let verdict = holds(case);
    let (counts, recovery) = (&verdict.counts, &verdict.recovery);
    assert_eq!((counts.acknowledged, counts.refused, counts.unknown, counts.unknown_that_ran), (15, 1, 1, 0));
    assert_eq!((counts.runs, counts.runs_done, counts.runs_failed), (20, 14, 5));
    assert_eq!((counts.runs_dropped, counts.runs_cut_short), (0, 1));
    assert_eq!((counts.dead_letters, counts.dead_of_crashes), (1, 0));
    assert_eq!((counts.effects, counts.effects_fenced), (14, 1));
    assert_eq!((counts.followed, counts.followed_excused), (2, 0));
    assert_eq!((counts.processes_killed, counts.leases_lost, counts.lost, counts.lost_with_master), (2, 0, 0, 0));
    assert_eq!((recovery.count, recovery.p50, recovery.p99, recovery.max, recovery.bound), (1, 3.0, 3.0, 3.0, 10.0));
    assert_eq!(verdict.faults.get("kill_redis"), Some(&1));
}

#[test]
fn the_table_of_the_rules_is_the_one_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/chaos.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("| rule | meaning |\n|---|---|\n").unwrap();
    let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    let verdict = baseline().judged();
    let rules: Vec<_> = verdict.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rows.collect::<Vec<_>>(), rules);
}
