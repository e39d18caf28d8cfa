//! Kills processes, servers and networks, and checks what became of every message.
//!
//! `docs/chaos.md` explains how to run, read and extend it.

mod args;
mod clock;
mod disk;
mod excuses;
mod failpoints;
mod fault;
mod fleet;
mod foreign;
mod history;
mod index;
mod judge;
mod ledger;
mod memory;
mod plan;
mod process;
mod producer;
mod proxy;
mod recorder;
mod report;
mod rotation;
mod run;
mod scenario;
mod scenarios;
mod server;
mod stage;
mod stall;
mod storage;
mod tasks;
mod threads;
mod topology;
mod tuner;
mod victim;
mod worker;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use args::{Command, Options};
use failpoints::Table;
use report::Report;
use scenario::Scenario;
use stage::NotArranged;
use tokio::runtime::Runtime;

/// The result of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Holds,
    Broken,
    /// Everything that was played holds; something could not be played here.
    NotArranged,
    /// A scenario reached no verdict.
    BrokeOff,
}

#[allow(clippy::print_stderr)] // The program's last output.
fn main() -> ExitCode {
    let done = match args::read(std::env::args().skip(1)) {
        Ok(command) => perform(command),
        Err(what) => Err(what.into()),
    };
    match done {
        Ok(End::Holds) => ExitCode::SUCCESS,
        Ok(End::Broken) => ExitCode::FAILURE,
        Ok(End::BrokeOff) => ExitCode::from(2),
        Ok(End::NotArranged) => ExitCode::from(3),
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> Result<End, Box<dyn Error>> {
    match command {
        Command::Run(options) => play(&options),
        Command::List => {
            list();
            Ok(End::Holds)
        }
        Command::Worker(orders) => worker::run(&orders).map(|()| End::Holds),
        Command::Producer(orders) => producer::run(&orders).map(|()| End::Holds),
        Command::Guard(words) => Err(guard(&words)),
    }
}

/// Becomes another program, which dies with the harness.
fn guard(words: &[String]) -> Box<dyn Error> {
    let Some((program, args)) = words.split_first() else { return "guard needs a program".into() };
    match process::die_with_the_harness() {
        Ok(()) => std::process::Command::new(program).args(args).exec().into(),
        Err(error) => error.into(),
    }
}

#[allow(clippy::print_stdout)]
fn list() {
    for scenario in scenarios::all() {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
    println!("{:<18} {}:", failpoints::NAME, failpoints::ABOUT);
    for point in failpoints::names() {
        println!("  {point}");
    }
}

#[allow(clippy::print_stdout)]
fn play(options: &Options) -> Result<End, Box<dyn Error>> {
    let mut all = scenarios::all();
    for scenario in &mut all {
        scenario.timed = !options.untimed;
    }
    let wanted: Vec<_> = options.scenario.split(',').collect();
    let is_known = |name: &str| name == "all" || name == failpoints::NAME || all.iter().any(|known| known.name == name);
    if let Some(name) = wanted.iter().find(|name| !is_known(name)) {
        return Err(format!("there is no scenario {name:?}: see --list").into());
    }
    let chosen = all.iter().filter(|scenario| wanted.contains(&"all") || wanted.contains(&scenario.name));
    let mut reports = Vec::new();
    for scenario in chosen {
        let report = play_one(scenario, options)?;
        report.show();
        reports.push(report);
    }
    if reports.len() > 1 {
        report::show_all(&reports);
    }
    let path = options
        .json
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("chaos-{}-{}.json", options.seed, std::process::id())));
    // Saved before the points are played, so that an early end keeps these.
    report::save(&reports, None, &path)?;
    let points = wanted.contains(&"all") || wanted.contains(&failpoints::NAME);
    let points = points.then(|| play_points(options)).transpose()?;
    report::save(&reports, points.as_ref(), &path)?;
    println!("verdicts: {}", path.display());
    let points_hold = points.is_none_or(|points| points.holds());
    Ok(if !points_hold || reports.iter().any(|report| report.verdict.is_some() && !report.holds()) {
        End::Broken
    } else if reports.iter().any(|report| report.broke_off.is_some()) {
        End::BrokeOff
    } else if reports.iter().any(|report| report.not_arranged.is_some()) {
        End::NotArranged
    } else {
        End::Holds
    })
}

fn play_points(options: &Options) -> Result<Table, Box<dyn Error>> {
    let directory = directory(failpoints::NAME, options.seed)?;
    let table = runtime()?.block_on(failpoints::play(options, &directory))?;
    table.finish();
    tidy_up(&directory, options.keep || !table.holds())?;
    Ok(table)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

#[allow(clippy::print_stdout)]
fn tidy_up(directory: &Path, keep: bool) -> std::io::Result<()> {
    if keep {
        println!("histories: {}", directory.display());
        return Ok(());
    }
    std::fs::remove_dir_all(directory)
}

fn play_one(scenario: &Scenario, options: &Options) -> Result<Report, Box<dyn Error>> {
    let directory = directory(scenario.name, options.seed)?;
    let span = Duration::from_secs(options.seconds);
    let mut report = Report::of(scenario.name, options.seed, options.seconds);
    match runtime()?.block_on(run::play(scenario, &directory, span, options.seed)) {
        Ok(played) => report.verdict = Some(judge::judge(scenario, played)),
        Err(error) => match error.downcast::<NotArranged>() {
            Ok(why) => report.not_arranged = Some(why.to_string()),
            Err(error) => report.broke_off = Some(error.to_string()),
        },
    }
    tidy_up(&directory, options.keep || !(report.holds() || report.not_arranged.is_some()))?;
    Ok(report)
}

fn directory(scenario: &str, seed: u64) -> std::io::Result<PathBuf> {
    let name = format!("chaos-{scenario}-{seed}-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
