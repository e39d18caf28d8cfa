//! What is kept, and what is forgotten.

use std::time::Duration;

use proptest::prelude::*;

use super::lane::Own;
use super::*;
use crate::Limit;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Moment {
    Moment::default().after(SECOND * u32::try_from(seconds).unwrap())
}

fn key(name: &impl ToString) -> Key {
    Key::new(name.to_string()).unwrap()
}

fn gate(limits: Limits) -> Gate {
    let mut gate = Gate::default();
    gate.declare(limits);
    gate.tick(at(1));
    gate
}

fn fair() -> Limits {
    *crate::Queue::new("q").fair().limits()
}

fn per_key(limit: Limit) -> Limits {
    *crate::Queue::new("q").per_key(limit).limits()
}

fn push(gate: &mut Gate, name: &impl ToString, number: u64, cost: u32) {
    let waiting = Waiting { body: Bytes::new(), since: gate.now, cost, suspect: false, held: None };
    gate.push(&key(name), format!("3-{number}").parse().unwrap(), waiting);
}

fn grant(gate: &mut Gate) -> Option<Slot> {
    gate.grant().map(|(_, _, slot)| slot)
}

/// All that it keeps of lanes.
fn kept(gate: &Gate) -> [usize; 5] {
    [gate.lanes.len(), gate.open.len(), gate.closed.len(), gate.owing.len(), gate.resting.len()]
}

#[test]
fn a_hundred_thousand_keys_of_one_message_leave_nothing() {
    let mut gate = gate(declared_all());
    let keys = 100_000;
    for number in 0..keys {
        push(&mut gate, &number, number, 1);
    }
    assert_eq!((gate.count(), kept(&gate)[0]), (100_000, 100_000));
    let mut running = std::collections::VecDeque::new();
    let mut granted = 0;
    while let Some(slot) = grant(&mut gate) {
        granted += 1;
        running.push_back(slot);
        if running.len() == 64 {
            gate.free(&running.pop_front().unwrap(), Duration::from_millis(granted % 7));
        }
    }
    assert_eq!(granted, keys);
    for slot in running {
        gate.free(&slot, SECOND);
    }
    gate.tick(at(60));
    assert_eq!(kept(&gate), [0; 5]);
    assert_eq!((gate.running, gate.count()), (0, 0));
}

/// Everything that a lane may be kept for.
fn declared_all() -> Limits {
    let limit = Limit::new().concurrency(100).rate(10, SECOND);
    *crate::Queue::new("q").concurrency(100).per_key(limit).fair().limits()
}

#[test]
fn keys_that_are_used_once_are_forgotten_while_others_wait() {
    for limits in [fair(), per_key(Limit::new().concurrency(9))] {
        let mut gate = gate(limits);
        for number in 0..20_000 {
            push(&mut gate, &"steady", number, 1);
        }
        for number in 0..10_000 {
            push(&mut gate, &format!("once {number}"), number, 1);
            for _ in 0..2 {
                let slot = grant(&mut gate).unwrap();
                gate.free(&slot, Duration::from_millis(5 + number % 10));
            }
            assert!(kept(&gate)[0] < 100, "{:?}", kept(&gate));
        }
    }
}

#[test]
fn a_lane_that_has_had_more_is_remembered_until_others_have_had_as_much() {
    let mut gate = gate(fair());
    for number in 0..10 {
        push(&mut gate, &"others", number, 1);
    }
    push(&mut gate, &"noisy", 0, 1);
    let noisy = std::iter::from_fn(|| grant(&mut gate)).find(|slot| slot.lane.key == key(&"noisy")).unwrap();
    gate.free(&noisy, SECOND);
    assert!(gate.lanes.contains_key(&key(&"noisy")));
    push(&mut gate, &"noisy", 1, 1);
    for number in 10..12 {
        push(&mut gate, &"others", number, 1);
        let slot = grant(&mut gate).unwrap();
        assert_eq!(slot.lane.key, key(&"others"));
        gate.free(&slot, Duration::from_millis(600));
    }
    push(&mut gate, &"others", 20, 1);
    assert_eq!(grant(&mut gate).unwrap().lane.key, key(&"noisy"));
}

#[test]
fn a_rate_and_a_limit_elsewhere_are_remembered_for_their_time() {
    let mut gate = gate(per_key(Limit::new().rate(1, SECOND * 10)));
    push(&mut gate, &"a", 0, 1);
    let slot = grant(&mut gate).unwrap();
    gate.free(&slot, SECOND);
    gate.close(&key(&"b"), at(21));
    gate.tick(at(10));
    assert_eq!(kept(&gate), [2, 0, 0, 0, 2]);
    assert_eq!(gate.next_open(), None, "nothing waits for it");
    push(&mut gate, &"a", 1, 1);
    push(&mut gate, &"b", 1, 1);
    assert!(gate.grant().is_none());
    assert_eq!(gate.next_open(), Some(at(11)));
    gate.tick(at(11));
    assert_eq!(grant(&mut gate).unwrap().lane.key, key(&"a"));
    assert_eq!(gate.next_open(), Some(at(21)));
    gate.purge();
    gate.tick(at(21));
    assert_eq!(kept(&gate), [1, 0, 0, 0, 0], "one is running");
}

#[test]
fn what_is_asked_for_in_vain_leaves_no_lane() {
    let mut gate = gate(*crate::Queue::new("q").concurrency(1).limits());
    let held = gate.take_for(&Lane::new(key(&"a"))).unwrap();
    assert!(gate.take_for(&Lane::new(key(&"b"))).is_none());
    assert!(gate.remove(&key(&"c"), "3-1".parse().unwrap()).is_none());
    assert_eq!(kept(&gate)[0], 1);
    gate.free(&held, SECOND);
    assert_eq!(kept(&gate), [0; 5]);
}

#[test]
fn what_its_own_limit_kept_back_catches_up_a_little_only() {
    let mut gate = gate(per_key(Limit::new().concurrency(1)));
    push(&mut gate, &"kept back", 0, 1);
    push(&mut gate, &"kept back", 1, 1);
    let held = grant(&mut gate).unwrap();
    for number in 0..1_000 {
        push(&mut gate, &"other", number, 1);
        let slot = grant(&mut gate).unwrap();
        gate.free(&slot, SECOND);
    }
    gate.free(&held, SECOND);
    for number in 2..100 {
        push(&mut gate, &"kept back", number, 1);
        push(&mut gate, &"other", 1_000 + number, 1);
    }
    let mut ahead = 0;
    while let Some(slot) = grant(&mut gate).filter(|slot| slot.lane.key == key(&"kept back")) {
        gate.free(&slot, SECOND);
        ahead += 1;
    }
    assert!(ahead <= CATCH_UP + 1, "{ahead} before any other");
}

/// What may happen to a gate.
#[derive(Clone, Debug)]
enum Step {
    Push(u8, u32),
    Grant,
    TakeFor(u8, u32),
    Free(prop::sample::Index, u64),
    Close(u8, u64),
    Remove(prop::sample::Index),
    Purge,
    Declare(usize),
    Set(bool, Option<usize>),
    SetOwn(u8, Option<usize>, Option<u32>, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 1..5_u32).prop_map(|(key, cost)| Step::Push(key, cost)),
        6 => Just(Step::Grant),
        1 => (0..6_u8, 1..5_u32).prop_map(|(key, cost)| Step::TakeFor(key, cost)),
        5 => (any::<prop::sample::Index>(), 0..3_000_u64).prop_map(|(which, ms)| Step::Free(which, ms)),
        1 => (0..6_u8, 0..5_u64).prop_map(|(key, seconds)| Step::Close(key, seconds)),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Purge),
        1 => (0..5_usize).prop_map(Step::Declare),
        1 => (any::<bool>(), prop::option::of(0..5_usize)).prop_map(|(each, which)| Step::Set(each, which)),
        1 => (0..6_u8, prop::option::of(0..5_usize), prop::option::of(1..4_u32), any::<bool>())
            .prop_map(|(key, which, weight, paused)| Step::SetOwn(key, which, weight, paused)),
        2 => (0..3_000_u64).prop_map(Step::Pass),
    ]
}

fn limits(which: usize) -> Limits {
    let limit = Limit::new().concurrency(3).rate(5, SECOND).burst(2);
    [
        declared_all(),
        *crate::Queue::new("q").concurrency(2).limits(),
        per_key(limit),
        *crate::Queue::new("q").rate(3, SECOND).burst(3).per_key(Limit::new().concurrency(1)).limits(),
        fair(),
    ][which]
}

/// Each lane stands where it belongs, once, and nothing else stands there.
fn check(gate: &Gate, running: &[Slot]) {
    let others = gate.virtual_time();
    let mut stand = [0; 4];
    for (name, lane) in &gate.lanes {
        // What was once even with the others need not wait for them again.
        let others = if matches!(lane.stands, Stands::Resting(_) | Stands::Idle) { u64::MAX } else { others };
        assert_eq!(lane.stands, lane.belongs(&gate.limits, gate.now, others), "{name}");
        let held: u64 =
            running.iter().filter(|slot| slot.lane.key == *name).map(|slot| u64::from(slot.lane.cost)).sum();
        assert_eq!(lane.running, held);
        let (which, found) = match lane.stands {
            Stands::Open(time) => (0, gate.open.contains(&(time, name.clone()))),
            Stands::Closed(until) => (1, gate.closed.contains(&(until, name.clone()))),
            Stands::Owing(time) => (2, gate.owing.contains(&(time, name.clone()))),
            Stands::Resting(until) => (3, gate.resting.contains(&(until, name.clone()))),
            Stands::Idle | Stands::Full | Stands::Paused => continue,
            Stands::Nowhere => panic!("{name} should be forgotten"),
        };
        assert!(found, "{name} is not where it stands: {:?}", lane.stands);
        stand[which] += 1;
    }
    assert_eq!(stand, kept(gate)[1..]);
    assert_eq!(gate.count(), gate.waiting(None).count());
    assert_eq!(gate.running, running.iter().map(|slot| u64::from(slot.lane.cost)).sum::<u64>());
}

proptest! {
    #[test]
    fn whatever_happens_the_limits_hold_and_nothing_is_left_in_the_end(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut gate = gate(limits(0));
        let (mut running, mut number) = (Vec::<Slot>::new(), 0);
        for step in steps {
            match step {
                Step::Push(key, cost) => {
                    number += 1;
                    push(&mut gate, &key, number, cost);
                }
                Step::Grant | Step::TakeFor(..) => {
                    let slot = match step {
                        Step::TakeFor(name, cost) => gate.take_for(&Lane::new(key(&name)).cost(cost)),
                        _ => grant(&mut gate),
                    };
                    let stands_still = slot.is_none() && running.is_empty() && gate.next_open().is_none();
                    let is_paused = gate.lanes.values().any(|lane| lane.own.paused);
                    prop_assert!(!matches!(step, Step::Grant) || !stands_still || is_paused || gate.count() == 0);
                    if let Some(slot) = slot {
                        let before = |all: bool| running.iter().filter(|held| all || held.lane.key == slot.lane.key)
                            .map(|held| u64::from(held.lane.cost)).sum();
                        prop_assert!(fits(before(true), slot.lane.cost, gate.limits.queue));
                        let lane = &gate.lanes[&slot.lane.key];
                        prop_assert!(!lane.own.paused);
                        prop_assert!(fits(before(false), slot.lane.cost, lane.limit(&gate.limits)));
                        running.push(slot);
                    }
                }
                Step::Free(which, ms) if !running.is_empty() => {
                    let slot = running.swap_remove(which.index(running.len()));
                    gate.free(&slot, Duration::from_millis(ms));
                }
                Step::Close(name, seconds) => gate.close(&key(&name), gate.now.after(SECOND * seconds as u32)),
                Step::Remove(which) if gate.count() > 0 => {
                    let (name, place, _) = gate.waiting(None).nth(which.index(gate.count())).unwrap();
                    let (name, place) = (name.clone(), *place);
                    prop_assert!(gate.remove(&name, place).is_some());
                }
                Step::Purge => drop(gate.purge()),
                Step::Declare(which) => drop(gate.declare(limits(which))),
                Step::Set(each_key, which) => gate.set(each_key, which.map(|which| limits(which).per_key)),
                Step::SetOwn(name, which, weight, paused) => gate.set_own(&key(&name), |own| {
                    let weight = weight.and_then(std::num::NonZeroU32::new);
                    *own = Own { limit: which.map(|which| limits(which).queue), weight, paused };
                }),
                Step::Pass(ms) => gate.tick(gate.now.after(Duration::from_millis(ms))),
                Step::Free(..) | Step::Remove(_) => {}
            }
            check(&gate, &running);
        }
        // Whatever waits goes, and nothing is left of it.
        for name in 0..6 {
            gate.set_own(&key(&name), |own| *own = Own::default());
        }
        while gate.count() > 0 || !running.is_empty() {
            match grant(&mut gate) {
                Some(slot) => running.push(slot),
                None if running.is_empty() => gate.tick(gate.next_open().unwrap()),
                None => gate.free(&running.pop().unwrap(), SECOND),
            }
            check(&gate, &running);
        }
        gate.tick(gate.now.after(SECOND * 60));
        prop_assert_eq!(kept(&gate), [0; 5]);
    }
}
