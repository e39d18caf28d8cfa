//! The same messages in one queue, in ten and in a hundred, all served by one worker.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use actor_bench::library::{self, Running};
use actor_bench::work::TEXT;
use actor_bench::{Cost, Meter, Result, Tally};
use actor_core::{QueueName, Worker, actor};
use actor_redis::RedisBroker;
use serde_json::json;

use crate::{Growth, MESSAGES};

/// Runs the selected scenarios.
pub(crate) async fn run(growth: &Growth<'_>) -> Result {
    for count in [10, 100] {
        let (ours, base) = (async || drain(growth, count).await, async || drain(growth, 1).await);
        let settings = json!({"messages": growth.args.messages(MESSAGES)});
        growth.pairs(&format!("queues_{count}"), ours, base, "1 queue", settings).await?;
    }
    Ok(())
}

async fn drain(growth: &Growth<'_>, count: u64) -> Result<Cost> {
    let (broker, messages) = (growth.server.broker().await?, growth.args.messages(MESSAGES));
    let mut queues = Vec::new();
    for ((queue, send_many), share) in QUEUES.iter().zip(library::shares(0..messages, count)) {
        send_many(&broker, share).await?;
        queues.push(queue.parse::<QueueName>()?);
    }
    let tally = Arc::new(Tally::of(0..messages));
    let meter = Meter::start(&growth.server).await?;
    let worker = Worker::builder(broker).state(Arc::clone(&tally)).queues(queues.clone());
    let worker = Running::start(worker);
    tally.reached().await?;
    for queue in &queues {
        growth.server.settled(queue.as_str(), 0).await?;
    }
    let cost = meter.stop(&growth.server, messages).await?;
    worker.stop().await?;
    tally.verify()?;
    Ok(cost)
}

pub(crate) type SendMany = fn(&RedisBroker, Range<u64>) -> Pin<Box<dyn Future<Output = Result> + '_>>;

/// Declares for each name an actor with a queue of its own.
macro_rules! queues {
    ($($name:ident $queue:tt)*) => {
        $(
            #[actor(queue = $queue)]
            async fn $name(n: u64, text: &str, #[state] tally: &Arc<Tally>) {
                let _ = text;
                tally.start(n);
            }
        )*

        /// Each queue, and how messages are sent to it.
        pub(crate) const QUEUES: &[(&str, SendMany)] = &[$(($queue, |broker, ids| {
            Box::pin(async move {
                $name.send_many_with(broker, ids.map(|n| (n, TEXT))).await?;
                Ok(())
            })
        })),*];
    };
}

queues! {
    q00 "q00" q01 "q01" q02 "q02" q03 "q03" q04 "q04"
    q05 "q05" q06 "q06" q07 "q07" q08 "q08" q09 "q09"
    q10 "q10" q11 "q11" q12 "q12" q13 "q13" q14 "q14"
    q15 "q15" q16 "q16" q17 "q17" q18 "q18" q19 "q19"
    q20 "q20" q21 "q21" q22 "q22" q23 "q23" q24 "q24"
    q25 "q25" q26 "q26" q27 "q27" q28 "q28" q29 "q29"
    q30 "q30" q31 "q31" q32 "q32" q33 "q33" q34 "q34"
    q35 "q35" q36 "q36" q37 "q37" q38 "q38" q39 "q39"
    q40 "q40" q41 "q41" q42 "q42" q43 "q43" q44 "q44"
    q45 "q45" q46 "q46" q47 "q47" q48 "q48" q49 "q49"
    q50 "q50" q51 "q51" q52 "q52" q53 "q53" q54 "q54"
    q55 "q55" q56 "q56" q57 "q57" q58 "q58" q59 "q59"
    q60 "q60" q61 "q61" q62 "q62" q63 "q63" q64 "q64"
    q65 "q65" q66 "q66" q67 "q67" q68 "q68" q69 "q69"
    q70 "q70" q71 "q71" q72 "q72" q73 "q73" q74 "q74"
    q75 "q75" q76 "q76" q77 "q77" q78 "q78" q79 "q79"
    q80 "q80" q81 "q81" q82 "q82" q83 "q83" q84 "q84"
    q85 "q85" q86 "q86" q87 "q87" q88 "q88" q89 "q89"
    q90 "q90" q91 "q91" q92 "q92" q93 "q93" q94 "q94"
    q95 "q95" q96 "q96" q97 "q97" q98 "q98" q99 "q99"
}
