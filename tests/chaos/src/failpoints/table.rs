//! The points and their verdicts, as a table and as JSON.
#![allow(clippy::print_stdout)] // Printing is its purpose.

use serde::Serialize;

use crate::report::Report;

/// The outcome of all points.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) seed: u64,
    pub(crate) rows: Vec<Row>,
    /// The rounds in which a rule is broken.
    pub(crate) broken: Vec<Report>,
}

/// The outcome of one point.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) point: &'static str,
    /// The process that died there.
    pub(crate) reached: Option<String>,
    /// The round it was played in.
    pub(crate) round: usize,
    /// Whether every rule held in its round.
    pub(crate) round_holds: bool,
}

impl Row {
    /// A point that no process reached proves nothing.
    fn holds(&self) -> bool {
        self.reached.is_some() && self.round_holds
    }
}

impl Table {
    /// Adds a point and prints it.
    pub(crate) fn row(&mut self, row: Row) {
        if self.rows.is_empty() {
            println!("scenario {}, seed {}", super::NAME, self.seed);
        }
        let mark = if row.holds() { "holds " } else { "BROKEN" };
        let by = match &row.reached {
            Some(process) => format!("{process} died there"),
            None => "never reached".to_owned(),
        };
        let round = if row.round_holds { "" } else { ", whose rules did not all hold" };
        println!("  {mark}  {:<24} {by:<24} round {}{round}", row.point, row.round);
        self.rows.push(row);
    }

    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(Row::holds)
    }

    /// Prints what is broken, and the sum.
    pub(crate) fn finish(&self) {
        self.broken.iter().for_each(Report::show);
        let (points, held) = (self.rows.len(), self.rows.iter().filter(|row| row.holds()).count());
        println!("failpoints, seed {}: {held} of {points} points hold, VERDICT {}", self.seed, self.holds());
    }
}
