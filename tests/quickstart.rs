//! The quickstart prints what the README shows.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const README: &str = include_str!("../README.md");

#[test]
fn the_quickstart_prints_what_the_readme_shows_and_ends_within_ten_seconds() {
    let program = build();
    let began = Instant::now();
    let output = Command::new(program).output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = README.split("```text\n").find(|block| block.contains("messages sent")).unwrap();
    assert_eq!(lines(&printed), lines(shown.split("```").next().unwrap()), "it printed:\n{printed}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
}

/// The lines without times, sorted: concurrent runs print in any order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.lines().map(|line| line.split_once(" s  ").map_or(line, |(_, line)| line)).collect();
    lines.sort_unstable();
    lines
}

/// Builds the example with the features of the whole workspace, as the other tests are built: nothing is compiled twice.
fn build() -> String {
    let output = actor_bench::cargo()
        .args(["build", "--workspace", "--all-features", "--example", "quickstart", "--message-format", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut built = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let program = built.find(|message| message["target"]["name"] == "quickstart").unwrap();
    program["executable"].as_str().unwrap().to_owned()
}
