//! Periods in which something was wrong.

use std::collections::HashMap;

use super::Evidence;
use super::service::Struck;
use crate::clock::SECOND;
use crate::history::{Event, What};

/// How long recovery from a fault may take.
const SETTLING_TIME: u64 = 2 * SECOND;
/// The same after an index was deleted by hand, which is checked only now and then.
const MISSED: u64 = 10 * SECOND;

/// Faults that spare a live process, its network and its Redis.
const SUDDEN: [&str; 6] =
    ["kill_worker", "kill_producer", "kill_all_workers", "cycle_worker", "deploy", "hasty_deploy"];
/// Faults that hit some workers while others should go on undisturbed, or that nobody should notice: new credentials
/// that are there in time, and Sentinels that are wrong while nobody needs them.
pub(super) const UNNOTICED: [&str; 7] =
    ["few_threads", "roll_back", "roll_back_all", "rotate_user", "rotate_password", "sentinels_lie", "sentinels_away"];

impl Evidence {
    pub(super) fn away_of(&mut self, event: &Event, redis: &mut Option<u64>, spared: &mut Option<u64>) {
        let is_spared = |name: &str| name.starts_with("worker-0-");
        match &event.what {
            What::Away => {
                redis.get_or_insert(event.at);
            }
            What::Back => {
                if let Some(since) = redis.take() {
                    self.away.add(since, event.at);
                }
            }
            What::Stalled { since } => {
                self.stalled += event.at - since;
                self.away.add(*since, event.at);
                self.stalls.add(*since, event.at);
                self.disrupted.add(*since, event.at + SETTLING_TIME);
                self.hindered.add(*since, event.at + SETTLING_TIME);
            }
            What::Died { process, .. } if is_spared(process) => {
                spared.get_or_insert(event.at);
            }
            What::Lost { .. } if is_spared(&self.processes[event.process]) => {
                spared.get_or_insert(event.at);
            }
            What::Registered { .. } if is_spared(&self.processes[event.process]) => {
                if let Some(since) = spared.take() {
                    self.vacant.push((since, event.at));
                }
            }
            // A lease that was made again counts as a new one.
            What::Forgotten { .. } if is_spared(&self.processes[event.process]) => {
                self.vacant.push((event.at, event.at));
            }
            _ => {}
        }
    }

    /// Pairs the beginnings and ends of faults.
    pub(super) fn struck_by(&mut self, event: &Event, begun: &mut HashMap<(String, String), u64>) {
        match &event.what {
            What::Fault { name, on } => {
                begun.entry((name.clone(), on.clone())).or_insert(event.at);
            }
            What::Healed { name, on } => {
                if let Some(since) = begun.remove(&(name.clone(), on.clone())) {
                    self.struck.push(Struck { name: name.clone(), on: on.clone(), since, until: event.at });
                }
            }
            _ => {}
        }
    }

    pub(super) fn disruption_of(&mut self, event: &Event, faults: &mut HashMap<(String, String), (u64, u64)>) {
        match &event.what {
            What::Fault { name, .. } | What::Healed { name, .. } if UNNOTICED.contains(&name.as_str()) => {}
            What::Fault { name, on } => {
                let after = if name.starts_with("lose_") { MISSED } else { SETTLING_TIME };
                faults.entry((name.clone(), on.clone())).or_insert((event.at, after));
            }
            What::Healed { name, on } => {
                if let Some((since, after)) = faults.remove(&(name.clone(), on.clone())) {
                    self.disrupted.add(since, event.at + after);
                    if !SUDDEN.contains(&name.as_str()) {
                        self.hindered.add(since, event.at + after);
                    }
                }
            }
            _ => {}
        }
    }

    /// A run that blocks the runtime delays what its worker has claimed.
    pub(super) fn hogged(&mut self) {
        let hogs = self.messages.values().filter(|message| message.actor.ends_with("hog"));
        let windows: Vec<_> = hogs.flat_map(|hog| &hog.runs).map(|run| (run.start, self.over(run))).collect();
        for (since, until) in windows {
            self.disrupted.add(since, until.saturating_add(SETTLING_TIME));
            self.hindered.add(since, until.saturating_add(SETTLING_TIME));
        }
    }
}
