//! A schedule is checked by the macro: its pattern, its time zone, its words, and that it needs no arguments.
use actor_core::actor;

#[actor(cron = "61 * * * *")]
fn minute() {}

#[actor(cron = "* * *")]
fn fields() {}

#[actor(cron = "0 0 30 2 *")]
fn never() {}

#[actor(cron = 5)]
fn number() {}

#[actor(cron = "0 6 * * *", timezone = "Europe/Berlyn")]
fn zone() {}

#[actor(cron = "0 6 * * *", overlap = "queue")]
fn overlaps() {}

#[actor(cron = "0 6 * * *", catch_up = "some")]
fn catches_up() {}

#[actor(cron = "0 6 * * *", jitter = 30)]
fn jitters() {}

#[actor(timezone = "UTC", jitter = "30s")]
fn without_a_pattern() {}

#[actor(cron = "0 6 * * *")]
fn arguments(account: u64) {
    let _ = account;
}

#[actor(schedule = "0 6 * * *")]
fn other_name() {}

mod tasks {
    #[actor_core::actor(cron = "0 6 * * *")]
    pub fn report();
}

#[actor(implements = tasks::report, cron = "0 6 * * *")]
fn report() {}

fn main() {}
