//! The quickstart prints what the README shows.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

const README: &str = include_str!("../README.md");

#[test]
fn the_quickstart_prints_what_the_readme_shows_and_ends_within_ten_seconds() {
    cargo("build");
    let began = Instant::now();
    let output = cargo("run");
    let took = began.elapsed();
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = README.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(lines(&printed), lines(shown), "it printed:\n{printed}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
}

/// The lines without times, sorted: concurrent runs print in any order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.lines().map(|line| line.split_once(" s  ").map_or(line, |(_, line)| line)).collect();
    lines.sort_unstable();
    lines
}

fn cargo(verb: &str) -> Output {
    let output = Command::new(env!("CARGO"))
        .args([verb, "--quiet", "--example", "quickstart"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
