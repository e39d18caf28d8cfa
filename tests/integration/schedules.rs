use std::time::{Duration, SystemTime};

use actor_core::schedule::{CatchUp, Change, ScheduleState};
use actor_core::{Context, Schedule, actor};

use crate::on_every_broker;
use crate::support::stage::name;
use crate::support::{Probe, RunningWorker, probe};

const SECOND: Duration = Duration::from_secs(1);

#[actor(queue = "ticking")]
async fn ticking(cx: &Context, #[state] probe: &Probe) {
    probe.report(since_1970(cx.scheduled_for().unwrap()).as_secs().to_string());
}

/// Nobody declares it but the worker that serves its queue.
#[actor(queue = "declaring", cron = "*/2 * * * * *", overlap = "skip")]
async fn declaring(cx: &Context, #[state] probe: &Probe) {
    probe.report(cx.schedule().unwrap());
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

on_every_broker! {
    async fn workers_that_fire_and_die_store_each_tick_once(stage: Stage) {
        let (probe, mut reports) = probe();
        let mut workers = Vec::new();
        for _ in 0..6 {
            workers.push(RunningWorker::start(stage.worker("ticking").await.state(probe.clone())));
        }
        let schedule = Schedule::new("it", "* * * * * *").catch_up(CatchUp::All);
        schedule.upsert_with(&*stage.broker, ticking.message()).await.unwrap();
        let mut ticks: Vec<u64> = Vec::new();
        for _ in 0..2 {
            ticks.push(reports.next().await.parse().unwrap());
        }
        workers.drain(..3).for_each(RunningWorker::kill);
        while ticks.len() < 5 {
            ticks.push(reports.next().await.parse().unwrap());
        }
        let schedules = stage.broker.schedules().unwrap();
        assert!(schedules.change_schedule(&name("ticking"), "it", Change::Remove).await.unwrap());
        stage.until_empty("ticking").await;
        for worker in workers {
            worker.stop().await;
        }
        ticks.extend(reports.rest().iter().map(|tick| tick.parse::<u64>().unwrap()));
        ticks.sort_unstable();
        // What a killed worker ran, others run again.
        ticks.dedup();
        let all: Vec<u64> = (ticks[0]..ticks[0] + ticks.len() as u64).collect();
        assert_eq!(ticks, all, "none is missing");
    }

    async fn a_worker_stores_what_its_actors_declare_and_fires_it(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = RunningWorker::start(stage.worker("declaring").await.state(probe));
        assert_eq!((reports.next().await, reports.next().await), ("declaring".to_owned(), "declaring".to_owned()));
        let schedules = stage.broker.schedules().unwrap();
        let found = schedules.read_schedule(&name("declaring"), "declaring").await.unwrap().unwrap();
        assert!(found.declared && found.state == ScheduleState::Active);
        assert_eq!(found.pattern().unwrap().0, "*/2 * * * * *");
        let last = found.last_tick.unwrap();
        assert_eq!(since_1970(last).as_secs() % 2, 0);
        assert!(found.last_fired.unwrap().duration_since(last).unwrap() < SECOND, "{found:?}");
        worker.stop().await;
    }
}
