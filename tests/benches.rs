//! The benchmarks with small numbers. Nothing is timed here: see `docs/performance.md`.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::collections::BTreeSet;
use std::path::Path;

use actor_bench::{Figure, collect};

/// Runs a benchmark with small numbers. It fails unless every message runs exactly once. Every line it prints must be a
/// JSON figure.
fn smoke(bench: &str, scenarios: &str) {
    let mut found = BTreeSet::new();
    collect::figures(root(), bench, ["--smoke"], |figure| {
        check(&figure);
        found.insert(figure.metric.split('/').next().unwrap().to_owned());
    })
    .unwrap();
    let expected: BTreeSet<String> = scenarios.split_whitespace().map(str::to_owned).collect();
    assert_eq!(found, expected);
}

fn check(figure: &Figure) {
    let Figure { value, range: [low, high], metric, .. } = figure;
    assert!(low <= value && value <= high, "{metric}: {value} is not within {low} to {high}");
    assert!(figure.settings.is_object(), "{metric} does not say what it was measured with");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn throughput_runs_every_message_once_and_prints_its_figures() {
    smoke(
        "throughput",
        "send_one send_64 send_many drain_default drain_best body_311 arguments_1k arguments_16k aof_everysec \
         aof_always send_and_work retries scheduled sync_actor batches chain priorities tracing_info aof_everysec_of_off \
         replicated_one replicated_64 limited_1 limited_100 limited_many rate_1000 unique_64 results",
    );
}

#[test]
fn latency_runs_every_message_once_and_prints_its_figures() {
    smoke("latency", "idle half_load scheduled_idle scheduled_half_load freed_slot_1 freed_slot_2 follow_idle");
}

#[test]
fn footprint_runs_every_message_once_and_prints_its_figures() {
    smoke(
        "footprint",
        "ready_bytes scheduled_bytes memory_idle memory_draining memory_slow idle_commands_1 idle_commands_10 \
         idle_commands_100 schedules allocations",
    );
}

#[test]
fn sizing_counts_every_message_and_prints_its_figures() {
    smoke("sizing", "message_311 message_2048 message_16384 connections_50 connections_500 replication rewrite");
}

#[test]
fn growth_runs_every_message_once_and_prints_its_figures() {
    smoke(
        "growth",
        "ready_100k ready_1m scheduled_100k scheduled_1m queues_10 queues_100 primaries_1 primaries_2 primaries_3 slots_8 slots_64 slots_256 slots_2000 \
         waiting_slots_64 waiting_slots_256 waiting_slots_2000 processes_2 processes_4 processes_8 processes_16 \
         distance_1ms_drain distance_1ms_replay distance_1ms_send_64",
    );
}

#[test]
fn compile_builds_both_crates_and_prints_its_figures() {
    smoke("compile", "check");
}

#[test]
fn the_verdict_judges_what_it_was_asked_for() {
    let arguments = ["test", "--quiet", "--workspace", "--all-features", "--bench", "verdict", "--"];
    let asked = ["--smoke", "--only", "ready_bytes/", "--only", "idle_commands_1/"];
    let output = actor_bench::cargo().args(arguments).args(asked).current_dir(root()).output().unwrap();
    let (table, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let verdicts = table.lines().filter(|line| line.ends_with("met |") || line.ends_with("missed** |"));
    assert_eq!(verdicts.count(), 2, "{table}");
}
