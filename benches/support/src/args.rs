//! The command line.

use lexopt::prelude::{Long, ValueExt};

use crate::Result;

const HELP: &str = "\
options, after `--`:
  --json        one JSON object a line instead of a table
  --only NAME   only the scenarios and figures whose name begins so; may be repeated
  --pairs N     how many alternated pairs a figure is the median of (default: 5)
  --smoke       one pair with small numbers: checks the harness, measures nothing";

/// The options of a benchmark.
#[derive(Clone, Debug)]
pub struct Args {
    /// JSON lines instead of a table.
    pub json: bool,
    /// Small numbers, to check that everything works.
    pub smoke: bool,
    /// The number of alternated pairs.
    pub pairs: usize,
    only: Vec<String>,
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// An unknown option: the error is the help.
    pub fn read() -> Result<Self> {
        let mut args = Self { json: false, smoke: false, pairs: 5, only: Vec::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Long("json") => args.json = true,
                Long("smoke") => (args.smoke, args.pairs) = (true, 1),
                Long("pairs") => args.pairs = parser.value()?.parse::<usize>()?.max(1),
                Long("only") => args.only.push(parser.value()?.string()?),
                // Cargo passes it to every benchmark.
                Long("bench") => {}
                other => return Err(format!("{}\n{HELP}", other.unexpected()).into()),
            }
        }
        Ok(args)
    }

    /// Whether a scenario, or a figure `scenario/figure`, is selected.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let asks = |only: &String| {
            let of_this_scenario = only.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            name.starts_with(only.as_str()) || of_this_scenario
        };
        self.only.is_empty() || self.only.iter().any(asks)
    }

    /// The number of messages: `full`, or at most a thousand in a smoke run.
    #[must_use]
    pub fn messages(&self, full: u64) -> u64 {
        if self.smoke { full.min(1_000) } else { full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Args {
        let only = names.iter().map(|&name| name.to_owned()).collect();
        Args { json: false, smoke: false, pairs: 5, only }
    }

    #[test]
    fn a_name_asks_for_what_begins_with_it() {
        assert!(only(&[]).wants("drain"));
        assert!(only(&["drain"]).wants("drain_default"));
        assert!(only(&["send", "drain"]).wants("drain/rate"));
        assert!(!only(&["drain"]).wants("send"));
    }

    #[test]
    fn a_figure_asks_for_its_scenario_and_not_for_its_siblings() {
        assert!(only(&["drain/own_cpu"]).wants("drain"));
        assert!(only(&["drain/own_cpu"]).wants("drain/own_cpu"));
        assert!(!only(&["drain/own_cpu"]).wants("drain/rate"));
    }
}
