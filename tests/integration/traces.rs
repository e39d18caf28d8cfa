use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actor_core::{Broker, Context, TraceParent, actor};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::on_every_broker;
use crate::support::log_capture::{Captured, LogCapture};
use crate::support::{Probe, RunningWorker, probe};

/// Names of spans, fields and events are an interface, documented here.
const DOCUMENT: &str = include_str!("../../docs/observability.md");

const SENDERS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The worker's broker, for actors that send.
struct Outgoing(Arc<dyn Broker>);

#[actor(queue = "relay")]
async fn relays(cx: &Context, #[state] outgoing: &Outgoing, #[state] probe: &Probe) {
    probe.report(format!("relays {:?}", cx.trace()));
    relayed.send_with(&outgoing.0).await.unwrap();
}

#[actor(queue = "relay")]
fn relays_too(cx: &Context, #[state] outgoing: &Outgoing, #[state] probe: &Probe) {
    probe.report(format!("relays {:?}", cx.trace()));
    Handle::current().block_on(relayed.send_with(&outgoing.0)).unwrap();
}

#[actor(queue = "relay")]
async fn relayed(cx: &Context, #[state] probe: &Probe) {
    probe.report(format!("relayed {:?}", cx.trace()));
}

#[actor(queue = "spanned", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
async fn spanned(#[state] probe: &Probe) -> Result<(), String> {
    tokio::task::yield_now().await;
    tracing::info!("from within");
    probe.report("run");
    Err("spanned fails".to_owned())
}

on_every_broker! {
    async fn the_senders_trace_arrives_and_is_carried_on_by_what_the_actor_sends(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("relay").await.state(Outgoing(stage.another().await));
        let worker = RunningWorker::start(builder.state(probe));
        let trace: TraceParent = SENDERS.parse().unwrap();
        relays.message().trace(trace).send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, format!("relays Some({SENDERS})"));
        assert_eq!(reports.next().await, format!("relayed Some({SENDERS})"));
        relays_too.message().trace(trace).send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, format!("relays Some({SENDERS})"));
        assert_eq!(reports.next().await, format!("relayed Some({SENDERS})"));
        relays.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "relays None");
        assert_eq!(reports.next().await, "relayed None");
        worker.stop().await;
    }

    async fn each_run_has_a_span_and_events_as_documented(stage: Stage) {
        let log = LogCapture::default();
        // The capture covers only this thread, so the worker runs in this task. With a single subscriber, tracing asks
        // the first thread that comes by whether anybody listens, and caches the answer for all threads.
        let _second = tracing::Dispatch::new(Registry::default());
        let _listening = tracing::subscriber::set_default(Registry::default().with(log.clone()));
        let (probe, mut reports) = probe();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = stage.worker("spanned").await.state(probe).run_until(async {
            let _ = stopped.await;
        });
        let trace: TraceParent = SENDERS.parse().unwrap();
        let (ended, id) = tokio::join!(worker, async {
            let id = spanned.message().trace(trace).send_with(&stage.broker).await.unwrap();
            for _ in 0..2 {
                assert_eq!(reports.next().await, "run");
            }
            assert_eq!(stage.dead_reason("spanned").await, "spanned fails");
            let _ = stop.send(());
            id
        });
        ended.unwrap();

        let captured = log.0.lock().unwrap();
        let runs: Vec<&Captured> = captured.iter().filter(|record| record.name == "actor.run").collect();
        assert_eq!(runs.len(), 2, "one span a run: {runs:?}");
        for (attempt, run) in runs.iter().enumerate() {
            assert!(DOCUMENT.contains("one span, `actor.run`, at level `INFO`, target `actor_core::worker::executor`"));
            assert_eq!((run.level.as_str(), run.target), ("INFO", "actor_core::worker::executor"));
            let (id, attempt) = (id.to_string(), (attempt + 1).to_string());
            let fields = [("actor", "spanned"), ("queue", "spanned"), ("id", &id), ("crashes", "0"), ("trace", SENDERS)];
            let mut fields: BTreeMap<&str, &str> = fields.into_iter().collect();
            fields.insert("attempt", &attempt);
            let fields_seen: BTreeMap<&str, &str> = run.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(fields_seen, fields);
            assert_eq!(fields_seen.into_keys().collect::<BTreeSet<_>>(), documented_fields());
        }
        for event in captured.iter().filter(|record| record.target.starts_with("actor_core")) {
            let Some(message) = event.fields.get("message") else { continue };
            let documented = message.split_once(": ").map_or(format!("`{message}`"), |(what, _)| format!("`{what}: ..`"));
            assert!(DOCUMENT.contains(&documented), "{message:?} is not in docs/observability.md");
        }
        for message in ["from within", "message failed, will be retried", "message dead-lettered"] {
            let event = captured.iter().find(|record| record.fields.get("message").is_some_and(|text| text == message));
            let event = event.unwrap_or_else(|| panic!("{message:?} was not logged: {captured:#?}"));
            assert_eq!(event.within, Some("actor.run"), "{message:?} does not stand in the span of its run");
        }
    }
}

/// The first column of the document's first table.
fn documented_fields() -> BTreeSet<&'static str> {
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('`').nth(1)).collect()
}
