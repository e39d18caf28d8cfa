use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Enqueue;
use actor_core::delivery::{Consumer, Wait, WorkerId};
use actor_core::settlement::{Consequence, Outcome, Settlement};
use actor_core::{BatchContext, Context, DeadLettered, Failure, MessageId, Priority, Worker, actor};
use bytes::Bytes;

use crate::clusters::cluster;
use crate::on_every_broker;
use crate::support::cluster::Cluster;
use crate::support::probe::within;
use crate::support::stage::name;
use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, by_hand, probe};

#[actor(queue = "mails")]
async fn mail(text: String, #[state] probe: &Probe) {
    probe.report(text);
}

#[actor(queue = "orders", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
async fn order(cx: &Context, number: u32, #[state] probe: &Probe) -> Result<(), Failure> {
    mail.message(format!("order {number}, attempt {}", cx.attempt())).send_after(cx)?;
    mail.message(format!("order {number} failed")).send_after_failure(cx)?;
    packed.message(number).send_after(cx)?;
    match number {
        1 => Ok(()),
        2 if cx.attempt() == 2 => Ok(()),
        _ => {
            probe.report("not yet");
            Err("not yet".into())
        }
    }
}

#[actor(queue = "orders")]
fn packed(cx: &Context, number: u32) {
    for step in ["packed", "shipped"] {
        mail.message(format!("order {number} {step}")).send_after(cx).unwrap();
    }
}

#[actor(queue = "sends_and_panics", max_retries = 0)]
async fn sends_and_panics(cx: &Context) {
    mail.message("it went well".to_owned()).send_after(cx).unwrap();
    mail.message("it panicked".to_owned()).send_after_failure(cx).unwrap();
    panic!("at the disco");
}

#[actor(queue = "several", max_retries = 0, batch(max = 3, wait = "1h"))]
async fn several(cx: &BatchContext, numbers: Vec<u32>) -> Vec<Result<(), String>> {
    let end = |(number, cx): (u32, &Context)| {
        mail.message(format!("{number} went well")).send_after(cx).map_err(|error| error.to_string())?;
        mail.message(format!("{number} failed")).send_after_failure(cx).map_err(|error| error.to_string())?;
        if number == 2 { Err("it is even".to_owned()) } else { Ok(()) }
    };
    numbers.into_iter().zip(cx.items()).map(end).collect()
}

#[actor(queue = "reports")]
async fn report(failed: DeadLettered, #[state] probe: &Probe) -> Result<(), String> {
    let DeadLettered { actor, queue, args, attempts, crashes, reason, .. } = failed;
    probe.report(format!("{actor} of {queue} {args} after {attempts} and {crashes}: {reason}"));
    Ok(())
}

#[actor(queue = "reported", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms", on_dead_letter = report)]
async fn reported(cx: &Context, what: String) -> Result<(), Failure> {
    mail.message(what.clone()).send_after_failure(cx)?;
    match &*what {
        "panics" => panic!("at the disco"),
        "gives up" => Err(Failure::do_not_retry("it is gone")),
        _ => Err("no luck".into()),
    }
}

#[actor(queue = "reports_itself", max_retries = 0, on_dead_letter = reports_itself)]
async fn reports_itself(failed: DeadLettered) -> Result<(), String> {
    Err(failed.reason)
}

/// A run's context, kept beyond the run.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Context>>>);

#[actor(queue = "keeps")]
async fn keeps(cx: &Context, #[state] kept: &Kept, #[state] probe: &Probe) {
    let sent = (0..1_001).map(|_| packed.message(0).send_after(cx));
    let refused: Vec<_> = sent.filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    *kept.0.lock().unwrap() = Some(cx.clone());
    probe.report(refused[0].to_string());
}

#[actor(queue = "stops_and_sends")]
async fn goes_on(cx: &Context, #[state] gate: &Gate, #[state] probe: &Probe) {
    probe.report("start");
    gate.pass().await;
    mail.message("it stopped".to_owned()).send_after(cx).unwrap();
}

async fn worker(stage: &Stage, queues: &[&str], probe: &Probe) -> RunningWorker {
    let builder = Worker::builder(stage.another().await).queues(queues.iter().map(|queue| name(queue)));
    RunningWorker::start(builder.state(probe.clone()))
}

/// Settles a message of `orders` as done, followed by a mail, as a worker that dies right after it.
async fn settled_and_dead(stage: &Stage, text: &str) {
    let consumer = Consumer::new(WorkerId::new("dies"), name("orders"));
    let queues = [name("orders")];
    stage.broker.register(&consumer.worker, &queues, Duration::from_secs(3_600)).await.unwrap();
    stage.put("orders", "it").await;
    let delivery =
        within(stage.broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(60)))).await.unwrap().remove(0);
    let body = by_hand("mail", "mails", &format!("[{text:?}]"));
    let message = Enqueue::new(MessageId::new(), Priority::Normal, Bytes::from(body));
    let mut end = Settlement::from(Outcome::Done);
    end.consequences.push(Consequence::Send { queue: name("mails"), message: Box::new(message) });
    for answer in stage.broker.settle(&consumer, &[(delivery.receipt, end)]).await {
        answer.unwrap();
    }
    stage.broker.deregister(&consumer.worker, &queues).await.unwrap();
}

on_every_broker! {
    async fn what_a_run_sends_after_itself_is_sent_once_and_only_if_the_run_counts(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, &["orders", "mails"], &probe).await;
        order.send_with(&stage.broker, 1).await.unwrap();
        let sent = reports.next_sorted(3).await;
        assert_eq!(sent, ["order 1 packed", "order 1 shipped", "order 1, attempt 1"]);
        order.send_with(&stage.broker, 2).await.unwrap();
        let sent = reports.next_sorted(4).await;
        assert_eq!(sent, ["not yet", "order 2 packed", "order 2 shipped", "order 2, attempt 2"]);
        order.send_with(&stage.broker, 3).await.unwrap();
        assert_eq!(reports.next_sorted(3).await, ["not yet", "not yet", "order 3 failed"]);
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
        assert_eq!(stage.counts("mails").await.outstanding(), 0);
    }

    async fn what_follows_a_failure_follows_a_panic_too(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, &["sends_and_panics", "mails"], &probe).await;
        sends_and_panics.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "it panicked");
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn who_is_told_of_dead_letters_is_told_why_and_of_what(stage: Stage) {
        let (probe, mut reports) = probe();
        for what in ["fails", "gives up"] {
            reported.send_with(&stage.broker, what.to_owned()).await.unwrap();
        }
        reported.message("expires".to_owned()).expires_in(Duration::ZERO).send_with(&stage.broker).await.unwrap();
        stage.put("reported", by_hand("reported", "reported", "[17]")).await;
        let worker = worker(&stage, &["reported", "reports"], &probe).await;
        let reports = reports.next_sorted(4).await;
        assert!(reports[0].starts_with(r#"reported of reported ["expires"] after 0 and 0: "#), "{reports:?}");
        assert_eq!(reports[1], r#"reported of reported ["fails"] after 2 and 0: no luck"#);
        assert_eq!(reports[2], r#"reported of reported ["gives up"] after 1 and 0: it is gone"#);
        assert!(reports[3].starts_with("reported of reported [17] after 0 and 0: argument 1"), "{reports:?}");
        // Beside what their runs had to be sent.
        assert_eq!(stage.until("mails", |counts| counts.ready == 2).await.dead, 0);
        assert_eq!(stage.until("reported", |counts| counts.dead == 4).await.outstanding(), 0);
        worker.stop().await;
    }

    async fn who_is_told_of_dead_letters_is_not_told_of_its_own(stage: Stage) {
        stage.put("reports_itself", by_hand("reports_itself", "reports_itself", "[17]")).await;
        let worker = RunningWorker::start(stage.worker("reports_itself").await);
        assert_eq!(stage.until("reports_itself", |counts| counts.dead == 1).await.outstanding(), 0);
        worker.stop().await;
        assert_eq!(stage.counts("reports_itself").await.dead, 1);
    }

    async fn each_message_of_a_batch_is_followed_by_its_own(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, &["several", "mails"], &probe).await;
        for number in 1..=3 {
            several.send_with(&stage.broker, number).await.unwrap();
        }
        assert_eq!(reports.next_sorted(3).await, ["1 went well", "2 failed", "3 went well"]);
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_run_that_sends_too_much_or_too_late_is_told_at_once(stage: Stage) {
        let (probe, mut reports) = probe();
        let kept = Kept::default();
        let worker = RunningWorker::start(stage.worker("keeps").await.state(probe).state(kept.clone()));
        keeps.send_with(&stage.broker).await.unwrap();
        let refused = reports.next().await;
        assert!(refused.contains("1000") && refused.contains("follow from one run"), "{refused}");
        assert_eq!(stage.until("orders", |counts| counts.ready == 1_000).await.outstanding(), 1_000);
        worker.stop().await;
        let cx = kept.0.lock().unwrap().take().unwrap();
        let refused = mail.message("late".to_owned()).send_after(&cx).unwrap_err();
        assert!(refused.to_string().contains("ended"), "{refused}");
        assert_eq!(stage.counts("mails").await.outstanding(), 0);
    }

    async fn what_follows_from_the_last_runs_is_stored_before_the_worker_has_stopped(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let mut worker = RunningWorker::start(stage.worker("stops_and_sends").await.state(probe).state(gate.clone()));
        goes_on.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "start");
        worker.ask();
        gate.open();
        worker.ended().await.unwrap();
        assert_eq!(stage.counts("mails").await.ready, 1);
    }

    async fn what_a_dead_worker_left_to_be_sent_is_sent_by_the_next(stage: Stage) {
        let (probe, mut reports) = probe();
        settled_and_dead(&stage, "from the dead").await;
        let worker = worker(&stage, &["orders", "mails"], &probe).await;
        assert_eq!(reports.next().await, "from the dead");
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }
}

#[tokio::test]
async fn what_follows_waits_in_the_outbox_while_redis_is_out_of_memory() {
    let mut stage = Stage::on(RedisServer::start()).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let worker = RunningWorker::start(stage.worker("stops_and_sends").await.state(probe.clone()).state(gate.clone()));
    goes_on.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "start");
    stage.server().cli(&["CONFIG", "SET", "maxmemory", "1"]);
    gate.open();
    stage.until_empty("stops_and_sends").await;
    let outboxes = stage.broker.outboxes().expect("Redis has outboxes");
    let waits = outboxes.list_outboxes(&name("stops_and_sends")).await.unwrap();
    assert_eq!(waits.iter().map(|outbox| (outbox.to.as_str(), outbox.messages)).collect::<Vec<_>>(), [("mails", 1)]);
    assert_eq!(stage.counts("mails").await.outstanding(), 0);
    stage.server().cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(stage.until("mails", |counts| counts.ready == 1).await.outstanding(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn what_follows_to_a_queue_whose_primary_is_away_waits_and_holds_up_no_other() {
    let mut stage = Stage::on(RedisServer::Cluster(Cluster::start())).await;
    let (probe, mut reports) = probe();
    // Served first, so that its primary is known, and the other's as well.
    let worker = worker(&stage, &["orders", "mails", "sends_and_panics"], &probe).await;
    order.send_with(&stage.broker, 1).await.unwrap();
    assert_eq!(reports.next_sorted(3).await, ["order 1 packed", "order 1 shipped", "order 1, attempt 1"]);
    let away = cluster(&mut stage).primary_of("mails");
    assert_ne!(cluster(&mut stage).primary_of("orders"), away);
    // With its replica, so that nobody takes its place.
    for at in [away, away + 3] {
        cluster(&mut stage).freeze(at);
    }
    order.send_with(&stage.broker, 1).await.unwrap();
    // To its own queue it follows at once.
    let outboxes = stage.broker.outboxes().expect("Redis has outboxes");
    let waits = within(async {
        loop {
            let waits = outboxes.list_outboxes(&name("orders")).await.unwrap();
            if waits.iter().any(|outbox| outbox.messages == 3) {
                return waits;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(waits.await.len(), 1);
    assert_eq!(reports.rest(), [""; 0]);
    for at in [away, away + 3] {
        cluster(&mut stage).thaw(at);
    }
    assert_eq!(reports.next_sorted(3).await, ["order 1 packed", "order 1 shipped", "order 1, attempt 1"]);
    worker.stop().await;
    assert_eq!(reports.rest(), [""; 0]);
}
