//! The quickstart prints what the README shows, and the other examples what they promise.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const README: &str = include_str!("../README.md");

#[test]
fn the_quickstart_prints_what_the_readme_shows_and_ends_within_ten_seconds() {
    let program = build("quickstart");
    let began = Instant::now();
    let output = Command::new(program).output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = README.split("```text\n").find(|block| block.contains("messages sent")).unwrap();
    assert_eq!(lines(&printed), lines(shown.split("```").next().unwrap()), "it printed:\n{printed}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
}

#[test]
fn the_example_of_limits_keeps_to_them_and_ends_within_ten_seconds() {
    let program = build("limits");
    let began = Instant::now();
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().filter(|line| line.contains(" s  ")).count(), 32, "{printed}");
    for (tenant, calls) in [("noisy", 24), ("quiet", 4), ("another", 4)] {
        let told = format!("{tenant:<8} {calls:2} calls, at most ");
        let (_, most) = printed.split_once(&told).unwrap_or_else(|| panic!("{told:?} is not in\n{printed}"));
        assert!(most.starts_with(['1', '2']), "{printed}");
    }
}

/// The lines without times, sorted: concurrent runs print in any order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.lines().map(|line| line.split_once(" s  ").map_or(line, |(_, line)| line)).collect();
    lines.sort_unstable();
    lines
}

/// Builds the example with the features of the whole workspace, as the other tests are built: nothing is compiled twice.
fn build(example: &str) -> String {
    let output = actor_bench::cargo()
        .args(["build", "--workspace", "--all-features", "--example", example, "--message-format", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut built = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let program = built.find(|message| message["target"]["name"] == example).unwrap();
    program["executable"].as_str().unwrap().to_owned()
}
