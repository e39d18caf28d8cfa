//! The program of the README, with nothing changed but its URL, on one server, a Sentinel set and a cluster.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::cargo::cargo;
use crate::sentinel::set::{Set, Settings};
use crate::server::Server;

const README: &str = include_str!("../../../README.md");
const PROGRAM: &str = include_str!("../../examples/first_program.rs");

/// What stands in the program where the README has its URL.
const URL: (&str, &str) = ("&std::env::args().nth(1).expect(\"a URL\")", "\"redis://127.0.0.1/\"");

/// As docs/running-redis.md says, so that there is nothing to warn of.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];
const REPLICATED: [&str; 8] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--min-replicas-to-write",
    "1",
    "--min-replicas-max-lag",
    "10",
];

#[test]
fn the_first_program_is_that_of_the_readme() {
    let shown = README.split("```rust,no_run\n").nth(1).and_then(|block| block.split("```").next()).unwrap();
    assert!(PROGRAM.replace(URL.0, URL.1).ends_with(shown), "{shown}");
}

#[test]
fn the_first_program_prints_what_the_readme_shows_on_one_server() {
    let server =
        Server::on_port(|port| [&DURABLE[..], &["--port", port]].concat().into_iter().map(str::to_owned).collect());
    prints_what_the_readme_shows(&format!("redis://127.0.0.1:{}/", server.port()));
}

#[test]
fn the_first_program_prints_what_the_readme_shows_on_a_sentinel_set() {
    let set = Set::with(Settings { server: &REPLICATED, ..Settings::default() });
    prints_what_the_readme_shows(&set.url());
}

/// Runs the program until it has printed as many lines as the README shows, stops it as Ctrl-C does, and compares them.
fn prints_what_the_readme_shows(url: &str) {
    let shown = README.split("```text\n").find(|block| block.contains("attempt 1: welcome")).unwrap();
    let shown: Vec<_> = shown.split("```").next().unwrap().lines().map(steady).collect();
    let mut command = Command::new(program());
    let mut child = command.arg(url).env("NO_COLOR", "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let printed: Vec<_> = lines.by_ref().take(shown.len()).collect();
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let rest: Vec<_> = lines.collect();
    let ended = child.wait().unwrap();
    println!("{url}\n{}\n{}\n", printed.join("\n"), rest.join("\n"));
    assert!(ended.success(), "{ended}: {rest:?}");
    assert_eq!(printed.iter().map(|line| steady(line)).collect::<Vec<_>>(), shown);
}

/// A line without what differs from run to run: the time and the worker's name.
fn steady(line: &str) -> String {
    let line = line.find("INFO").map_or(line, |at| &line[at..]);
    line.split(' ').map(|word| if word.starts_with("worker=") { "worker=" } else { word }).collect::<Vec<_>>().join(" ")
}

/// Builds the program with the features of the whole workspace, as the tests are built: nothing is compiled twice.
fn program() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = cargo();
        cargo.args([
            "build",
            "--workspace",
            "--all-features",
            "--example",
            "first_program",
            "--message-format",
            "json",
        ]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let mut built = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let program = built.find(|message| message["target"]["name"] == "first_program").unwrap();
        program["executable"].as_str().unwrap().into()
    })
}
