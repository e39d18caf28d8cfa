//! A slot whose processes are to die at one point.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_core::Broker;

use super::aim::{Act, Aim};
use crate::foreign;
use crate::history::What;
use crate::process::Failpoint;
use crate::proxy::Condition;
use crate::stage::Stage;
use crate::storage::key;
use crate::tasks::{always_fails, gated, plain};

/// Delivers an entry of a stream to the worker of this place, and deletes it.
const LOSE_BODIES: &str = "
    for _, worker in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
        -- The other members are marks.
        if string.find(worker, ARGV[1], 1, true) == 1 and string.find(worker, ':' .. string.rep('%x', 32) .. '$') then
            local id = redis.call('XADD', KEYS[1], '*', 'm', 'deleted')
            redis.call('XREADGROUP', 'GROUP', 'workers', worker, 'COUNT', 1, 'STREAMS', KEYS[1], '>')
            redis.call('XDEL', KEYS[1], id)
        end
    end";

/// How many messages of a burst fail, and how many succeed.
const FAILING: usize = 100;
const PLAIN: usize = 500;

/// A slot whose processes are to die at one point.
pub(super) struct Target {
    pub(super) aim: Aim,
    pub(super) slot: usize,
    /// The process that died there.
    pub(super) reached: Option<String>,
    /// The next act, and when the previous one was done.
    next: usize,
    since: Instant,
}

impl Target {
    /// Arms the processes of a slot.
    pub(super) fn new(aim: Aim, slot: usize, stage: &mut Stage) -> Self {
        let failpoint = Failpoint { point: aim.point.to_owned(), passes: fastrand::u64(1..=aim.most_passes) };
        stage.slots[slot].arm(Some(failpoint));
        Self { aim, slot, reached: None, next: 0, since: Instant::now() }
    }

    /// Checks whether the point was reached; otherwise performs the next act.
    pub(super) fn tend(&mut self, stage: &mut Stage, bystander: usize) -> Result<(), Box<dyn Error>> {
        if self.reached.is_some() {
            return Ok(());
        }
        if !stage.slots[self.slot].is_running() {
            self.reached = stage.journal.reached(self.aim.point)?;
            if self.reached.is_some() {
                self.release(stage);
            }
            (self.next, self.since) = (0, Instant::now());
            return Ok(());
        }
        let Some((pause_ms, act)) = self.aim.acts.get(self.next) else { return Ok(()) };
        if self.since.elapsed() >= Duration::from_millis(*pause_ms) {
            self.act(*act, stage, bystander)?;
            self.next = (self.next + 1) % self.aim.acts.len();
            self.since = Instant::now();
        }
        Ok(())
    }

    /// Disarms the slot.
    pub(super) fn release(&self, stage: &mut Stage) {
        let slot = &mut stage.slots[self.slot];
        slot.arm(None);
        slot.thaw();
        slot.way.set(Condition::Clear);
    }

    fn act(&self, act: Act, stage: &mut Stage, bystander: usize) -> Result<(), Box<dyn Error>> {
        let on = stage.slots[self.slot].place();
        stage.journal.note(&What::Fault { name: format!("{act:?}"), on: on.clone() });
        let slot = &mut stage.slots[self.slot];
        match act {
            Act::Stop => slot.cycle(),
            Act::Freeze => slot.freeze(),
            Act::Thaw => slot.thaw(),
            Act::Burst => burst(&stage.sender),
            Act::GatedBurst => {
                let sender = Arc::clone(&stage.sender);
                tokio::spawn(async move { gated::burst(&*sender).await });
            }
            Act::Deaf => slot.way.set(Condition::Deaf),
            Act::Cut => slot.way.set(Condition::Cut),
            Act::Clear => slot.way.set(Condition::Clear),
            Act::KillAnother => stage.slots[bystander].kill(),
            Act::Park => foreign::park(stage)?,
            Act::FlushScripts => stage.redis("SCRIPT FLUSH")?,
            // No actor of this queue has this priority, so nobody holds anything there.
            Act::LoseGroup => {
                stage.redis(&format!("XGROUP DESTROY {} workers", key("threads", "ready:low:released")))?;
            }
            // Nor does anybody wait there for a message of its own.
            Act::LoseBody => {
                let stream = key("threads", "ready:low:released");
                let keys = [stream, key("threads", "workers")];
                redis::cmd("EVAL")
                    .arg(LOSE_BODIES)
                    .arg(2)
                    .arg(&keys)
                    .arg(format!("{on}-"))
                    .exec(&mut stage.server().connection()?)?;
            }
        }
        Ok(())
    }
}

/// Sends many messages at once. Some fail until they are dead-lettered.
fn burst(sender: &Arc<dyn Broker>) {
    let sender = Arc::clone(sender);
    tokio::spawn(async move {
        let _ = always_fails.send_many_with(&*sender, std::iter::repeat_n((), FAILING)).await;
        let _ = plain.send_many_with(&*sender, (0..PLAIN).map(|_| (fastrand::u64(0..40), 0))).await;
    });
}
