//! A program with its own tracing system: which trace a message carries, and whose span its run continues. A process
//! has one propagator, so this is a single test.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::sync::{Arc, Mutex};

use actor_core::testing::TestBroker;
use actor_core::{Context, Propagator, TraceParent, actor, set_propagator};
use tracing::Span;

#[actor(queue = "traced")]
async fn traced(cx: &Context, #[state] seen: &Seen) {
    seen.0.lock().unwrap().push(format!("ran with {:?}", cx.trace()));
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

/// Stands for OpenTelemetry.
struct System {
    current: TraceParent,
    seen: Seen,
}

impl Propagator for System {
    fn current(&self) -> Option<TraceParent> {
        Some(self.current)
    }

    fn restore(&self, span: &Span, sender: TraceParent) {
        let name = span.metadata().map(tracing::Metadata::name);
        self.seen.0.lock().unwrap().push(format!("restored {sender} in {name:?}"));
    }
}

#[tokio::test]
async fn a_message_carries_the_programs_trace_and_its_run_continues_the_senders() {
    let _everything = tracing::subscriber::set_default(tracing_subscriber::registry());
    let (seen, current) = (Seen::default(), TraceParent::new(1, 2, 1).unwrap());
    assert!(set_propagator(System { current, seen: seen.clone() }));
    assert!(!set_propagator(System { current, seen: seen.clone() }), "there is one");

    let broker = TestBroker::new();
    let own = TraceParent::new(3, 4, 0).unwrap();
    traced.send_with(&broker).await.unwrap();
    traced.message().trace(own).send_with(&broker).await.unwrap();
    assert_eq!(broker.worker().state(seen.clone()).drain().await.done, 2);

    let run = |trace| [format!("restored {trace} in Some(\"actor.run\")"), format!("ran with Some({trace})")];
    assert_eq!(*seen.0.lock().unwrap(), [run(current), run(own)].concat());
}
