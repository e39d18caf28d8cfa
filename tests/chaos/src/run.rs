//! One run: start the processes, play the faults, drain, and read the histories.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::fault::Fault;
use crate::fleet::Role;
use crate::history::{History, What};
use crate::plan::plan;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::storage::{self, Storage};
use crate::tuner::Tuner;
use crate::victim::Victim;

/// How often processes and the schedule are checked.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// How late a fault may begin.
const LATE: Duration = Duration::from_secs(1);
/// How often a busy queue is audited, where nothing is wrong.
const AUDIT: Duration = Duration::from_secs(1);
/// How long messages are sent after the last fault. Every live worker must work then.
const CALM: Duration = Duration::from_secs(8);
/// How long the drain may take without any progress.
const STUCK: Duration = Duration::from_secs(45);

/// The results of a run.
pub(crate) struct Played {
    pub(crate) history: History,
    pub(crate) storage: Storage,
    /// Whether the queues ran empty.
    pub(crate) drained: bool,
    /// What the auditor found after the drain.
    pub(crate) audit: Vec<String>,
    /// What the auditor found while nothing was wrong. Not asked during faults.
    pub(crate) live_audit: Option<Vec<String>>,
}

/// Plays a scenario in `directory`.
pub(crate) async fn play(
    scenario: &Scenario,
    directory: &Path,
    span: Duration,
    seed: u64,
) -> Result<Played, Box<dyn Error>> {
    let mut stage = Stage::set(directory, scenario, seed).await?;
    for slot in &mut stage.slots {
        slot.start()?;
    }
    let tuner = scenario.tunes.then(|| Tuner::start(&stage, seed));
    let mut live_audit = scenario.is_calm().then(Vec::new);
    harm(&mut stage, scenario, span, seed, &mut live_audit).await?;
    stage.journal.note(&What::Calm);
    let calm = Instant::now();
    while calm.elapsed() < CALM {
        stage.tend()?;
        sleep(TICK).await;
    }
    if let Some(tuner) = tuner {
        tuner.end().await?;
    }
    Ok(Played { live_audit, ..end(stage, directory).await? })
}

/// Stops the producers, drains the queues, and reads the histories.
pub(crate) async fn end(mut stage: Stage, directory: &Path) -> Result<Played, Box<dyn Error>> {
    stage.journal.note(&What::Draining);
    dismiss(&mut stage, Role::Producer).await?;
    let drained = drain(&mut stage).await?;
    dismiss(&mut stage, Role::Worker).await?;
    stage.servers.check_calm()?;
    let storage = Storage::read(&stage.servers, stage.queues)?;
    let audit = stage.audit().await?;
    drop(stage);
    Ok(Played { history: History::read(directory)?, storage, drained, audit, live_audit: None })
}

/// Plays the faults.
async fn harm(
    stage: &mut Stage,
    scenario: &Scenario,
    span: Duration,
    seed: u64,
    live_audit: &mut Option<Vec<String>>,
) -> Result<(), Box<dyn Error>> {
    let mut audit_at = AUDIT;
    let began = Instant::now();
    let mut ahead = plan(scenario, span, seed).into_iter().peekable();
    let mut lasting: Vec<(Duration, Fault, Victim)> = Vec::new();
    while began.elapsed() < span || !lasting.is_empty() {
        let now = began.elapsed();
        // Ends come first: a track's next fault must not begin before its last one has ended.
        let (over, on): (Vec<_>, Vec<_>) = lasting.into_iter().partition(|(until, ..)| *until <= now);
        lasting = on;
        for (_, fault, victim) in over {
            fault.end(stage, &victim)?;
        }
        while let Some(next) = ahead.next_if(|next| next.at <= now) {
            // What took long to end, such as a failover, leaves no room for it.
            if now > next.at + LATE {
                continue;
            }
            let victim = next.fault.begin(stage, next.rng)?;
            lasting.push((next.at.max(now) + next.hold, next.fault, victim));
        }
        if let Some(found) = live_audit
            && audit_at <= now
        {
            found.extend(stage.audit().await?);
            audit_at = now + AUDIT;
        }
        stage.tend()?;
        sleep(TICK).await;
    }
    Ok(())
}

/// Asks the processes of a role to stop, and waits until they have.
async fn dismiss(stage: &mut Stage, role: Role) -> Result<(), Box<dyn Error>> {
    stage.of(role).for_each(super::fleet::Slot::dismiss);
    let began = Instant::now();
    while stage.of(role).any(|slot| slot.is_running()) {
        stage.tend()?;
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("a {role:?} did not stop within a minute").into());
        }
        sleep(TICK).await;
    }
    Ok(())
}

/// Waits until nothing is left to do, and returns whether that was reached.
async fn drain(stage: &mut Stage) -> Result<bool, Box<dyn Error>> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let left = storage::left(&stage.servers, stage.queues)?;
        if left == 0 {
            return Ok(true);
        }
        if left < least {
            (least, since) = (left, Instant::now());
        } else if since.elapsed() > STUCK {
            return Ok(false);
        }
        stage.tend()?;
        sleep(Duration::from_millis(100)).await;
    }
}
