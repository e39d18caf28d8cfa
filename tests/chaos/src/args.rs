//! The command line.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failpoints;
use crate::process::Orders;

/// The command to run.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Options),
    List,
    Worker(Orders),
    Producer(Orders),
    /// Runs a program that dies with the harness.
    Guard(Vec<String>),
}

/// Options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    /// Names separated by commas, or `all`.
    pub(crate) scenario: String,
    /// The file for the verdicts.
    pub(crate) json: Option<PathBuf>,
    /// Plays only these failpoints, with commas between.
    pub(crate) point: Option<String>,
    /// Keeps the histories and Redis's files.
    pub(crate) keep: bool,
    /// Excuses broken time rules, for machines that do other work.
    pub(crate) untimed: bool,
}

pub(crate) const USAGE: &str = "usage: chaos [--seed N] [--seconds S] [--scenario NAME[,NAME..]|all] [--json FILE] [--keep] [--untimed]\n       chaos --point NAME[,NAME..] [--seed N] [--seconds S] [--keep]\n       chaos --list";

/// Reads the command line.
pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options {
        seed: u64::from(clock.subsec_nanos()),
        seconds: 60,
        scenario: "mixed".to_owned(),
        json: None,
        point: None,
        keep: false,
        untimed: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "worker" => return Ok(Command::Worker(orders(&value()?)?)),
            "producer" => return Ok(Command::Producer(orders(&value()?)?)),
            "guard" => return Ok(Command::Guard(args.collect())),
            "--list" => return Ok(Command::List),
            "--seed" => options.seed = number(&arg, &value()?)?,
            "--seconds" => options.seconds = number(&arg, &value()?)?,
            "--scenario" => options.scenario = value()?,
            "--json" => options.json = Some(value()?.into()),
            "--point" => {
                options.point = Some(value()?);
                failpoints::NAME.clone_into(&mut options.scenario);
            }
            "--keep" => options.keep = true,
            "--untimed" => options.untimed = true,
            _ => return Err(format!("{arg} is not known\n{USAGE}")),
        }
    }
    Ok(Command::Run(options))
}

fn number(arg: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{arg} needs a whole number, not {text:?}"))
}

fn orders(text: &str) -> Result<Orders, String> {
    serde_json::from_str(text).map_err(|error| format!("orders that cannot be read: {error}"))
}
