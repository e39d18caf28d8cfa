//! The benchmarks in small: each starts, runs every message exactly once, and prints its figures as
//! lines of JSON. Nothing is timed here: see `docs/performance.md`.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::collections::BTreeSet;
use std::path::Path;

use actor_bench::{Figure, collect};

/// Runs a benchmark in small, in which every run verifies that each message was run exactly once.
fn smoke(bench: &str, scenarios: &[&str]) {
    let mut found = BTreeSet::new();
    collect::figures(Path::new(env!("CARGO_MANIFEST_DIR")), bench, ["--smoke"], |figure| {
        check(&figure);
        found.insert(figure.metric.split('/').next().unwrap().to_owned());
    })
    .unwrap();
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), scenarios.iter().copied().collect());
}

fn check(figure: &Figure) {
    let Figure { value, range: [low, high], metric, .. } = figure;
    assert!(low <= value && value <= high, "{metric}: {value} is not within {low} to {high}");
    assert!(figure.settings.is_object(), "{metric} does not say what it was measured with");
}

#[test]
fn throughput() {
    smoke(
        "throughput",
        &[
            "send_one", "send_64", "send_many", "drain_default", "drain_best", "body_311", "arguments_1k",
            "arguments_16k", "aof_everysec", "aof_always", "send_and_work", "retries", "scheduled", "sync_actor",
            "priorities", "tracing_info", "aof_everysec_of_off",
        ],
    );
}

#[test]
fn latency() {
    smoke("latency", &["idle", "half_load", "scheduled_idle", "scheduled_half_load"]);
}

#[test]
fn footprint() {
    smoke(
        "footprint",
        &[
            "ready_bytes", "scheduled_bytes", "memory_idle", "memory_draining", "memory_slow", "idle_commands_1",
            "idle_commands_10", "idle_commands_100", "allocations",
        ],
    );
}

#[test]
fn growth() {
    smoke(
        "growth",
        &[
            "ready_100k", "ready_1m", "scheduled_100k", "scheduled_1m", "queues_10", "queues_100", "slots_8",
            "slots_64", "slots_256", "slots_2000", "waiting_slots_64", "waiting_slots_256", "waiting_slots_2000",
            "processes_2", "processes_4", "processes_8", "processes_16", "distance_1ms_drain", "distance_1ms_send_64",
        ],
    );
}

#[test]
fn compile() {
    smoke("compile", &["check"]);
}
