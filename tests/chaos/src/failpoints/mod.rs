//! Kills a process at each failpoint of the library, which random kills rarely hit.
//!
//! A round plays several points on one Redis, each with a process of its own. One judge checks the round. A point holds
//! if a process died there and its round holds.

mod aim;
mod table;
mod target;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::args::Options;
use crate::fleet::Role;
use crate::judge::{self, Verdict};
use crate::process::Extra;
use crate::report::Report;
use crate::run::{self, TICK};
use crate::scenario::Scenario;
use crate::stage::Stage;
use aim::Aim;
use table::Row;
pub(crate) use table::Table;
use target::Target;

/// The scenario's name.
pub(crate) const NAME: &str = "failpoints";
/// Its line in the list of scenarios.
pub(crate) const ABOUT: &str = "SIGKILL at each named point between two Redis commands, or the one of --point";

/// The number of points in a round.
const AT_ONCE: usize = 8;
/// The minimum time under load.
const LEAST: Duration = Duration::from_secs(3);
/// A worker that always lives, and one that is killed so that the others have something to recover.
const SPARED: usize = 2;
const BYSTANDER: usize = 1;

/// Plays all points, or the given one. Each round has a directory for its histories.
pub(crate) async fn play(options: &Options, directory: &Path) -> Result<Table, Box<dyn Error>> {
    let mut aims = aim::all();
    if let Some(point) = &options.point {
        aims.retain(|aim| aim.point == point);
        if aims.is_empty() {
            return Err(format!("there is no failpoint {point:?}: see --list").into());
        }
    }
    let mut table = Table { seed: options.seed, rows: Vec::new(), broken: Vec::new() };
    for (number, aims) in aims.chunks(AT_ONCE).enumerate() {
        let directory = directory.join(format!("round-{number}"));
        std::fs::create_dir_all(&directory)?;
        let (reached, verdict) = round(aims, &directory, options, number as u64).await?;
        for (aim, by) in aims.iter().zip(reached) {
            table.row(Row { point: aim.point, reached: by, round: number, round_holds: verdict.holds });
        }
        if !verdict.holds {
            let name = format!("{NAME}, round {number}");
            let report = Report::of(name, options.seed + number as u64, options.seconds);
            table.broken.push(Report { verdict: Some(verdict), ..report });
        }
    }
    Ok(table)
}

/// The names of all points.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    aim::all().into_iter().map(|aim| aim.point)
}

/// Plays some points. Returns the process that died at each, and the verdict.
async fn round(
    aims: &[Aim],
    directory: &Path,
    options: &Options,
    number: u64,
) -> Result<(Vec<Option<String>>, Verdict), Box<dyn Error>> {
    let (longest, seed) = (Duration::from_secs(options.seconds), options.seed + number);
    fastrand::seed(seed);
    let producers = aims.iter().filter(|aim| aim.role == Role::Producer).count();
    let workers = aims.len() - producers;
    let scenario = Scenario {
        workers: SPARED + workers,
        producers: 1 + producers,
        slots: 8,
        extra: Extra::Unique,
        timed: !options.untimed,
        ..Scenario::of(NAME, ABOUT, &[]).dense()
    };
    let mut stage = Stage::set(directory, &scenario, seed).await?;
    // Workers come first. The last producer is never a target.
    let (mut worker, mut producer) = (SPARED, SPARED + workers);
    let mut targets: Vec<_> = aims
        .iter()
        .map(|aim| {
            let next = if aim.role == Role::Worker { &mut worker } else { &mut producer };
            *next += 1;
            Target::new(*aim, *next - 1, &mut stage)
        })
        .collect();
    for slot in &mut stage.slots {
        slot.start()?;
    }
    let began = Instant::now();
    while began.elapsed() < LEAST
        || (began.elapsed() < longest && !targets.iter().all(|target| target.reached.is_some()))
    {
        stage.tend()?;
        for target in &mut targets {
            target.tend(&mut stage, BYSTANDER)?;
        }
        sleep(TICK).await;
    }
    for target in &targets {
        target.release(&mut stage);
    }
    let played = run::end(stage, directory).await?;
    Ok((targets.into_iter().map(|target| target.reached).collect(), judge::judge(&scenario, played)))
}
