//! The verdict, as a table and as JSON.
#![allow(clippy::print_stdout)] // Printing is its purpose.

use std::path::Path;

use serde::Serialize;

use crate::failpoints::Table;
use crate::judge::{Interruption, Service, Spared, Times, Verdict};

/// Prints many verdicts as one table.
pub(crate) fn show_all(reports: &[Report]) {
    println!();
    println!(
        "{:<18} {:>6} {:>12} {:>8} {:>5} {:>9} {:>8} {:>8}  verdict",
        "scenario", "faults", "acknowledged", "runs", "lost", "recovered", "p99 s", "max s"
    );
    for report in reports {
        let Some(Verdict { counts, faults, recovery, holds, .. }) = &report.verdict else {
            println!("{:<18} {}", report.scenario, report.why_not());
            continue;
        };
        let lost = match counts.lost_with_master {
            0 => counts.lost.to_string(),
            gone => format!("{}+{gone}", counts.lost),
        };
        println!(
            "{:<18} {:>6} {:>12} {:>8} {:>5} {:>9} {:>8.1} {:>8.1}  {holds}",
            report.scenario,
            faults.values().sum::<u64>(),
            counts.acknowledged,
            counts.runs,
            lost,
            recovery.count,
            recovery.p99,
            recovery.max,
        );
    }
}

/// Prints for how long each queue was without service.
fn show_service(service: &Service) {
    let show = |Times { p50, p99, max }: &Times| format!("p50 {p50:.2} s, p99 {p99:.2} s, max {max:.2} s");
    let Service { fault, count, promotions, decided, lasted, queues, spared } = service;
    if *promotions > 0 {
        println!("  decided   {promotions} of {count} {fault} led to a promotion, in {}", show(decided));
    } else {
        println!("  lasted    {count} {fault}: {}", show(lasted));
    }
    for (queue, Interruption { count, sends, sends_after, runs, runs_after }) in queues {
        for (what, longest, after) in [("sends", sends, sends_after), ("runs", runs, runs_after)] {
            let since = if *promotions > 0 { "the decision" } else { "its end" };
            let after = after.as_ref().map(|after| format!("; after {since} {}", show(after))).unwrap_or_default();
            println!("  service   {count} {fault}, {queue}: longest time without {what} {}{after}", show(longest));
        }
    }
    if let Some(Spared { sends, runs }) = spared {
        for (what, longest) in [("sends", sends), ("runs", runs)] {
            println!("  service   {fault}, queues that it spared: longest time without {what} {}", show(longest));
        }
    }
}

/// Writes verdicts as one JSON file.
pub(crate) fn save(scenarios: &[Report], failpoints: Option<&Table>, path: &Path) -> std::io::Result<()> {
    let all = serde_json::json!({ "scenarios": scenarios, "failpoints": failpoints });
    std::fs::write(path, serde_json::to_vec_pretty(&all).map_err(std::io::Error::other)?)
}

/// One scenario's verdict.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    /// Why it could not be played here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_arranged: Option<String>,
    /// Why it reached no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broke_off: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
}

impl Report {
    /// For a scenario that has not ended yet.
    pub(crate) fn of(scenario: impl Into<String>, seed: u64, seconds: u64) -> Self {
        Self { scenario: scenario.into(), seed, seconds, not_arranged: None, broke_off: None, verdict: None }
    }

    pub(crate) fn holds(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.holds)
    }

    /// Why there is no verdict.
    fn why_not(&self) -> String {
        match (&self.not_arranged, &self.broke_off) {
            (Some(why), _) => format!("not arranged: {why}"),
            (None, why) => format!("broke off: {}", why.as_deref().unwrap_or_default()),
        }
    }

    /// Prints it as a table.
    pub(crate) fn show(&self) {
        println!("scenario {}, seed {}, {} s of faults", self.scenario, self.seed, self.seconds);
        let Some(verdict) = &self.verdict else {
            println!("  {}", self.why_not());
            return;
        };
        let faults: Vec<_> = verdict.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("  faults    {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") });
        let counts = &verdict.counts;
        println!(
            "  messages  {} acknowledged, {} refused, {} unknown (of which {} ran), {} dead letters ({} of crashes), {} lost, {} lost with a master",
            counts.acknowledged,
            counts.refused,
            counts.unknown,
            counts.unknown_that_ran,
            counts.dead_letters,
            counts.dead_of_crashes,
            counts.lost,
            counts.lost_with_master
        );
        println!(
            "  runs      {}: {} done, {} failed, {} refused by a limit elsewhere, {} dropped, {} cut short; {} effects, {} fenced off",
            counts.runs,
            counts.runs_done,
            counts.runs_failed,
            counts.runs_refused,
            counts.runs_dropped,
            counts.runs_cut_short,
            counts.effects,
            counts.effects_fenced
        );
        if counts.followed > 0 {
            println!(
                "  follows   {} followed from runs; of {} runs a failover may have lost what followed, or the settlement",
                counts.followed, counts.followed_excused
            );
        }
        println!("  workers   {} processes killed, {} leases lost", counts.processes_killed, counts.leases_lost);
        let recovery = &verdict.recovery;
        println!(
            "  recovery  of {} messages: p50 {:.1} s, p99 {:.1} s, max {:.1} s, bound {:.1} s; of {} last deliveries: max {:.1} s",
            recovery.count,
            recovery.p50,
            recovery.p99,
            recovery.max,
            recovery.bound,
            recovery.last_deliveries,
            recovery.last_deliveries_max
        );
        verdict.service.iter().for_each(show_service);
        if recovery.stalled > 0.0 {
            println!("  machine   stood still for {:.1} s in all", recovery.stalled);
        }
        for finding in &verdict.findings {
            let mark = match (finding.holds, finding.excused) {
                (true, _) => "holds ",
                (false, Some(_)) => "excuse",
                (false, None) => "BROKEN",
            };
            println!("  {mark}  {:<62} {:>9} asked, {} broken", finding.rule, finding.asked, finding.broken);
            if let (false, Some(why)) = (finding.holds, finding.excused) {
                println!("          {why}");
                continue;
            }
            for breach in finding.breaches.iter().take(5) {
                println!("          {breach}");
            }
        }
        println!("  VERDICT   {}", verdict.holds);
    }
}
