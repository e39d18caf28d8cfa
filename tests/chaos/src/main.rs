//! Kills processes, servers and networks, and judges what became of every message.
//!
//! `docs/chaos.md` says how to run, read and extend it.

mod args;
mod clock;
mod crew;
mod failpoints;
mod fault;
mod history;
mod judge;
mod ledger;
mod plan;
mod process;
mod producer;
mod proxy;
mod report;
mod run;
mod scenario;
mod server;
mod stage;
mod storage;
mod tasks;
mod witness;
mod worker;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use args::{Command, Options};
use report::Report;
use rustix::process::{Signal, set_parent_process_death_signal};
use scenario::Scenario;
use tokio::runtime::Runtime;

#[allow(clippy::print_stderr)] // A program's last words.
fn main() -> ExitCode {
    let done = match args::read(std::env::args().skip(1)) {
        Ok(command) => perform(command),
        Err(what) => Err(what.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> Result<bool, Box<dyn Error>> {
    match command {
        Command::Run(options) => play(&options),
        Command::List => {
            list();
            Ok(true)
        }
        Command::Worker(orders) => worker::run(&orders).map(|()| true),
        Command::Producer(orders) => producer::run(&orders).map(|()| true),
        Command::Guard(words) => Err(guard(&words)),
    }
}

/// Becomes another program, which then dies with the harness.
fn guard(words: &[String]) -> Box<dyn Error> {
    let Some((program, args)) = words.split_first() else { return "guard needs a program".into() };
    match set_parent_process_death_signal(Some(Signal::KILL)) {
        Ok(()) => std::process::Command::new(program).args(args).exec().into(),
        Err(error) => error.into(),
    }
}

#[allow(clippy::print_stdout)]
fn list() {
    for scenario in scenario::all() {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
    println!("{:<18} {}:", failpoints::NAME, failpoints::ABOUT);
    for point in failpoints::names() {
        println!("  {point}");
    }
}

fn play(options: &Options) -> Result<bool, Box<dyn Error>> {
    let all = scenario::all();
    let chosen: Vec<_> =
        all.iter().filter(|scenario| options.scenario == "all" || options.scenario == scenario.name).collect();
    let points = options.scenario == "all" || options.scenario == failpoints::NAME;
    if chosen.is_empty() && !points {
        return Err(format!("there is no scenario {:?}: see --list", options.scenario).into());
    }
    let mut holds = true;
    for scenario in chosen {
        let report = play_one(scenario, options)?;
        report.show();
        holds &= report.holds();
    }
    if points {
        holds &= play_points(options)?;
    }
    Ok(holds)
}

fn play_points(options: &Options) -> Result<bool, Box<dyn Error>> {
    let directory = directory(failpoints::NAME, options.seed)?;
    let table = runtime()?.block_on(failpoints::play(options, &directory))?;
    table.finish();
    table.save(&directory.join("verdict.json"))?;
    put_away(&directory, options.keep || !table.holds())?;
    Ok(table.holds())
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

#[allow(clippy::print_stdout)]
fn put_away(directory: &Path, keep: bool) -> std::io::Result<()> {
    if keep {
        println!("histories: {}", directory.display());
        return Ok(());
    }
    std::fs::remove_dir_all(directory)
}

fn play_one(scenario: &Scenario, options: &Options) -> Result<Report, Box<dyn Error>> {
    let directory = directory(scenario.name, options.seed)?;
    let span = Duration::from_secs(options.seconds);
    let played = runtime()?.block_on(run::play(scenario, &directory, span, options.seed))?;
    let report = Report {
        scenario: scenario.name.to_owned(),
        seed: options.seed,
        seconds: options.seconds,
        not_arranged: None,
        verdict: Some(judge::judge(scenario, played)),
    };
    report.save(&directory.join("verdict.json"))?;
    put_away(&directory, options.keep || !report.holds())?;
    Ok(report)
}

fn directory(scenario: &str, seed: u64) -> std::io::Result<PathBuf> {
    let name = format!("chaos-{scenario}-{seed}-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
