//! The program of the README, with nothing changed but its URL, on one server, a Sentinel set and a cluster.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

use crate::cargo::cargo;
use crate::cluster::members::Cluster;
use crate::sentinel::set::{Set, Settings, free_ports};
use crate::server::Server;

const README: &str = include_str!("../../../README.md");
const PROGRAM: &str = include_str!("../../examples/first_program.rs");

/// What stands in the program where the README has its URL.
const URL: (&str, &str) = ("&std::env::args().nth(1).expect(\"a URL\")", "\"redis://127.0.0.1/\"");

/// What servers are started with is what this page says, so that there is nothing to warn of.
const PAGE: &str = include_str!("../../../docs/running-redis.md");

/// Only against a program that hangs.
const HANGS: Duration = Duration::from_secs(60);

#[test]
fn the_first_program_is_that_of_the_readme() {
    let shown = README.split("```rust,no_run\n").nth(1).and_then(|block| block.split("```").next()).unwrap();
    assert!(PROGRAM.replace(URL.0, URL.1).ends_with(shown), "{shown}");
}

#[test]
fn the_first_program_prints_what_the_readme_shows_on_one_server() {
    let port = free_ports(1)[0].to_string();
    let settings = settings(&["Every server"]);
    let _server = Server::alone(&[words(&settings), vec!["--port", &port]].concat());
    prints_what_the_readme_shows(&format!("redis://127.0.0.1:{port}/"));
}

#[test]
fn the_first_program_prints_what_the_readme_shows_on_a_sentinel_set() {
    let settings = settings(&["Every server", "With replicas"]);
    let set = Set::with(Settings { server: &words(&settings), ..Settings::default() });
    prints_what_the_readme_shows(&set.url());
}

#[test]
fn the_first_program_prints_what_the_readme_shows_on_a_cluster() {
    let settings = settings(&["Every server", "With replicas", "Cluster"]);
    let cluster = Cluster::of(3, 3, &words(&settings));
    prints_what_the_readme_shows(&cluster.url());
}

fn words(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

/// The settings that the page shows below these headings, as on `redis-server`'s command line.
fn settings(headings: &[&str]) -> Vec<String> {
    let below =
        |heading: &str| PAGE.split(&format!("### {heading}\n")).nth(1)?.split("```text\n").nth(1)?.split("```").next();
    let lines = headings.iter().flat_map(|heading| below(heading).unwrap().lines());
    lines.flat_map(|line| format!("--{line}").split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Runs the program until it has printed as many lines as the README shows, stops it as Ctrl-C does, and compares them.
#[allow(clippy::print_stdout)] // With `--nocapture` it shows what each prints.
fn prints_what_the_readme_shows(url: &str) {
    let shown = README.split("```text\n").find(|block| block.contains("attempt 1: welcome")).unwrap();
    let shown: Vec<_> = shown.split("```").next().unwrap().lines().map(steady).collect();
    let mut command = Command::new(program());
    let mut child = command.arg(url).env("NO_COLOR", "1").stdout(Stdio::piped()).spawn().unwrap();
    let (sender, log) = channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    std::thread::spawn(move || lines.for_each(|line| _ = sender.send(line)));
    let printed: Vec<_> = (0..shown.len()).map_while(|_| log.recv_timeout(HANGS).ok()).collect();
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let rest: Vec<_> = log.iter().collect();
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
