//! Limits that are changed while messages wait for them, and lanes that are paused.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actor_core::control::LimitOf;
use actor_core::{Broker, BrokerError, Key, Limit, QueueName};
use actor_redis::RedisBroker;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::history::{Journal, What};
use crate::stage::Stage;
use crate::tasks::gated::{BURST, KEYS, QUEUE, RATE};

/// How long a change holds before the next, in ms.
const HOLDS_MS: std::ops::Range<u64> = 400..3_000;
/// How soon a change is asked for again of which nothing is known.
const AGAIN: Duration = Duration::from_millis(100);
/// How long setting everything back may take once all faults are over.
const BACK: Duration = Duration::from_secs(60);

/// What is changed. `None` goes back to what is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tune {
    /// The queue's slots, and how many start a second.
    Queue(Option<(u32, u32)>),
    /// The slots of each key.
    EachKey(Option<u32>),
    /// Those of one key.
    Key(String, Option<u32>),
    /// The share of one key.
    Weight(String, Option<u32>),
    /// Whether nothing of this key may go.
    Pause(String, bool),
}

/// Changes limits until it is told to end.
#[derive(Debug)]
pub(crate) struct Tuner {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Tuner {
    /// The harness asks for the changes, one after the other, by its own way to Redis.
    pub(crate) fn start(stage: &Stage, seed: u64) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let (broker, journal) = (stage.broker.clone(), Arc::clone(&stage.journal));
        let mut rng = Rng::with_seed(seed.wrapping_mul(5));
        let task = tokio::spawn(async move {
            let mut paused = None;
            loop {
                let holds = Duration::from_millis(rng.u64(HOLDS_MS));
                tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                    () = sleep(holds) => {}
                }
                let next = match paused.take() {
                    Some(key) => Tune::Pause(key, false),
                    None => any(&mut rng),
                };
                if let Tune::Pause(key, true) = &next {
                    paused = Some(key.clone());
                }
                change(&broker, &journal, next).await;
            }
            for next in everything_back() {
                change(&broker, &journal, next).await;
            }
        });
        Self { stop, task }
    }

    /// Sets everything back to what is declared.
    ///
    /// # Errors
    ///
    /// It could not be set back.
    pub(crate) async fn end(self) -> Result<(), Box<dyn Error>> {
        self.stop.send_replace(true);
        timeout(BACK, self.task).await.map_err(|_| "limits could not be set back within a minute")??;
        Ok(())
    }
}

fn any(rng: &mut Rng) -> Tune {
    let key = rng.u64(0..KEYS).to_string();
    // One time in four back to what is declared.
    let mut one_of = |values: &[u32]| (rng.u32(0..4) > 0).then(|| values[rng.usize(0..values.len())]);
    let (slots, starts) = (one_of(&[4, 6, 12]), one_of(&[RATE / 2, RATE * 2]));
    let (each, own, weight) = (one_of(&[1, 3]), one_of(&[1, 4]), one_of(&[2, 4]));
    match rng.u32(0..6) {
        0 | 1 => Tune::Queue(slots.map(|slots| (slots, starts.unwrap_or(RATE)))),
        2 => Tune::EachKey(each),
        3 => Tune::Key(key, own),
        4 => Tune::Weight(key, weight),
        _ => Tune::Pause(key, true),
    }
}

fn everything_back() -> Vec<Tune> {
    let of_key = |key: u64| {
        let key = key.to_string();
        [Tune::Key(key.clone(), None), Tune::Weight(key.clone(), None), Tune::Pause(key, false)]
    };
    [Tune::Queue(None), Tune::EachKey(None)].into_iter().chain((0..KEYS).flat_map(of_key)).collect()
}

/// Changes a limit, and asks until the answer is that it is done.
async fn change(broker: &RedisBroker, journal: &Journal, tune: Tune) {
    journal.note(&What::Tuning { change: tune.clone() });
    while ask(broker, &tune).await.is_err() {
        sleep(AGAIN).await;
    }
    journal.note(&What::Tuned);
}

async fn ask(broker: &RedisBroker, tune: &Tune) -> Result<(), BrokerError> {
    let limits = broker.control().and_then(|control| control.limit_control()).expect("this broker keeps limits");
    let queue = QUEUE.parse::<QueueName>().expect("the queues have proper names");
    let of = |key: &str| Key::new(key).expect("a number is a key");
    match tune {
        Tune::Queue(set) => {
            let limit = set
                .map(|(slots, rate)| Limit::new().concurrency(slots).rate(rate, Duration::from_secs(1)).burst(BURST));
            limits.set_limit(&queue, &LimitOf::Queue, limit).await
        }
        Tune::EachKey(slots) => {
            limits.set_limit(&queue, &LimitOf::EachKey, slots.map(|slots| Limit::new().concurrency(slots))).await
        }
        Tune::Key(key, slots) => {
            let limit = slots.map(|slots| Limit::new().concurrency(slots));
            limits.set_limit(&queue, &LimitOf::Key(of(key)), limit).await
        }
        Tune::Weight(key, weight) => limits.set_weight(&queue, &of(key), weight.and_then(NonZeroU32::new)).await,
        Tune::Pause(key, true) => limits.pause_lane(&queue, &of(key)).await,
        Tune::Pause(key, false) => limits.resume_lane(&queue, &of(key)).await,
    }
}
