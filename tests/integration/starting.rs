use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actor_core::inspect::State;
use actor_core::{InstallError, MemoryBroker, SendError, Worker, WorkerError, actor, registry};

use crate::on_every_broker;
use crate::support::probe::within;
use crate::support::{Probe, RedisServer, RunningWorker, Stage, probe, stage::name};

#[actor(queue = "unimplemented")]
async fn declared_only(number: u32) -> Result<(), String>;

struct Pool;
struct Mailer;

#[actor(queue = "needy")]
async fn needy(#[state] pool: &Pool, #[state] mailer: &Mailer) {
    let _ = (pool, mailer);
}

#[actor(queue = "sized")]
async fn sized(text: String, #[state] probe: &Probe) {
    probe.report(text.len().to_string());
}

#[actor(queue = "unsendable")]
async fn unsendable(weights: Vec<f64>, by_place: HashMap<(u8, u8), String>) {
    let _ = (weights, by_place);
}

#[actor(queue = "installed")]
async fn installed(number: u32) {
    let _ = number;
}

/// The error with which a worker of these queues refuses to start.
async fn refusal(
    queues: &[&str],
    set: impl FnOnce(actor_core::WorkerBuilder) -> actor_core::WorkerBuilder,
) -> WorkerError {
    let builder = Worker::builder(MemoryBroker::new()).queues(queues.iter().map(|queue| name(queue)));
    within(set(builder).run_until(std::future::pending())).await.expect_err("the worker started")
}

#[tokio::test]
async fn a_declared_actor_without_an_implementation_is_named_with_its_place() {
    let error = refusal(&["unimplemented"], |builder| builder).await;
    assert!(error.is_misconfigured());
    let text = error.to_string();
    assert!(text.contains("actor `declared_only`, declared at tests/integration/starting.rs:"), "{text}");
    assert!(text.contains("(crate actor-queue 0.1.0), has no implementation here"), "{text}");
    assert!(text.contains("#[actor(implements = ..)]"), "{text}");
}

#[tokio::test]
async fn a_queue_that_no_actor_here_has_is_named() {
    let text = refusal(&["sized", "nowhere"], |builder| builder.state(probe().0)).await.to_string();
    assert!(text.contains("no actor of queue `nowhere` is implemented here"), "{text}");
    assert!(!text.contains("sized"), "{text}");
}

#[tokio::test]
async fn every_mistake_is_named_at_once() {
    let text = refusal(&["needy", "unimplemented", "nowhere"], |builder| builder).await.to_string();
    for wrong in [
        "- actor `needy`, implemented at tests/integration/starting.rs:",
        "needs the state `integration::starting::Pool`: give it with `.state(..)`",
        "needs the state `integration::starting::Mailer`: give it with `.state(..)`",
        "- actor `declared_only`, declared at ",
        "- no actor of queue `nowhere` is implemented here",
    ] {
        assert!(text.contains(wrong), "{wrong:?} is not in:\n{text}");
    }
    let error = refusal(&["needy"], |builder| builder.state(Pool)).await;
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), text, "a `main` that returns it shows something else");
    assert!(text.contains("Mailer") && !text.contains("Pool"), "{text}");
}

#[tokio::test]
async fn a_state_in_an_arc_that_the_actor_wants_without_is_named_beside_what_it_wants() {
    let text = refusal(&["needy"], |builder| builder.state(Arc::new(Pool)).state(Mailer)).await.to_string();
    let advice = "needs the state `integration::starting::Pool`, but `alloc::sync::Arc<integration::starting::Pool>` was \
                  given: give a `integration::starting::Pool` with `.state(..)`, or write `#[state] name: \
                  &alloc::sync::Arc<integration::starting::Pool>`";
    assert!(text.contains(advice), "{text}");
}

#[tokio::test]
async fn a_lease_that_is_too_short_or_too_long_is_refused() {
    for (lease, why) in [
        (Duration::from_millis(99), "the lease is shorter than 100 ms"),
        (Duration::MAX, "the lease is longer than a day"),
    ] {
        let error = refusal(&["installed", "nowhere"], |builder| builder.lease(lease)).await;
        assert!(error.is_misconfigured());
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.to_string().contains("`nowhere`"), "only one of two mistakes is named: {error}");
    }
}

#[tokio::test]
async fn a_worker_without_a_queue_is_refused() {
    let text = refusal(&[], |builder| builder).await.to_string();
    assert!(text.contains("there is no queue to serve: `.queues(..)` was given none"), "{text}");
}

#[tokio::test]
async fn a_setting_for_a_queue_that_no_actor_here_has_is_refused() {
    let set =
        |builder: actor_core::WorkerBuilder| builder.queue_concurrency("instaled", 1).queue_concurrency("sized", 1);
    let text = refusal(&["installed"], set).await.to_string();
    assert!(text.contains("no actor of queue `instaled` is implemented here"), "{text}");
    assert!(!text.contains("sized"), "a queue that another worker of this program may serve: {text}");
}

#[tokio::test]
async fn a_worker_whose_slots_could_run_nothing_is_refused() {
    for setting in ["concurrency", "queue_concurrency", "total_concurrency"] {
        let set = |builder: actor_core::WorkerBuilder| match setting {
            "concurrency" => builder.concurrency(0),
            "queue_concurrency" => builder.queue_concurrency("installed", 0),
            _ => builder.total_concurrency(0),
        };
        let text = refusal(&["installed"], set).await.to_string();
        assert!(text.contains(&format!("`.{setting}(..)` allows 0 runs at once")), "{text}");
    }
}

#[tokio::test]
async fn a_text_that_cannot_name_a_queue_is_refused_at_start() {
    let text = refusal(&["installed"], |builder| builder.also_serve("in stalled")).await.to_string();
    assert!(text.contains("not a queue: ' ' in \"in stalled\""), "{text}");
    let text = refusal(&["installed"], |builder| builder.queues([""])).await.to_string();
    assert!(text.contains("not a queue: a name must not be empty"), "{text}");
    assert!(!text.contains("was given none"), "one mistake is reported as two: {text}");
}

#[tokio::test]
async fn a_state_that_is_given_twice_is_refused() {
    let text = refusal(&["installed"], |builder| builder.state(1_u8).state(2_u8)).await.to_string();
    assert!(text.contains("the state `u8` is given twice: wrap each in a type of its own"), "{text}");
}

#[tokio::test]
async fn the_largest_number_of_slots_is_accepted() {
    let stage = Stage::memory();
    let worker = RunningWorker::start(stage.worker("installed").await.concurrency(usize::MAX));
    installed.send_with(&stage.broker, 1).await.unwrap();
    stage.until_empty("installed").await;
    worker.stop().await;
}

#[test]
fn the_actors_of_this_program_are_declared_once() {
    registry::check().unwrap();
}

#[test]
fn a_program_can_check_that_all_its_actors_are_implemented() {
    let text = registry::check_complete().unwrap_err().to_string();
    let place = "actor `declared_only` has no implementation: it is declared at tests/integration/starting.rs:";
    assert!(text.starts_with(place), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The only test here that installs a broker: there is one for the whole process.
#[tokio::test]
async fn sending_needs_a_broker_that_is_installed_once() {
    let early: SendError = installed.send(1).await.unwrap_err();
    assert!(early.is_not_installed() && !early.is_transient() && !early.is_unknown());
    assert!(early.to_string().contains("call `actor_core::install(broker)` when the program starts"), "{early}");
    let early = installed.send_many([1, 2]).await.unwrap_err();
    assert!(early.error.is_not_installed() && early.sent.is_empty() && early.unknown.is_empty());

    let stage = Stage::memory();
    actor_core::install(stage.another().await).unwrap();
    installed.send(2).await.unwrap();
    assert_eq!(installed.send_many([3, 4]).await.unwrap().len(), 2);
    assert_eq!(stage.counts("installed").await.ready, 3);

    let again = actor_core::install(MemoryBroker::new()).unwrap_err();
    assert!(matches!(again, InstallError::Twice));
    assert!(again.to_string().contains("a broker is installed already"), "{again}");
    installed.send(5).await.unwrap();
    assert_eq!(stage.counts("installed").await.ready, 4, "the first broker stays");
}

on_every_broker! {
    async fn a_message_over_the_limit_is_refused_and_one_below_it_goes_through(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = RunningWorker::start(stage.worker("sized").await.state(probe));
        let limit = 1 << 20;
        let error = sized.send_with(&stage.broker, "x".repeat(limit)).await.unwrap_err();
        assert!(error.is_invalid() && !error.is_transient() && !error.is_unknown());
        let text = error.to_string();
        assert!(text.contains("bytes, and the broker takes at most 1048576: send a reference"), "{text}");
        let large = limit - 500; // The rest is for the other members.
        sized.send_with(&stage.broker, "x".repeat(large)).await.unwrap();
        assert_eq!(reports.next().await, large.to_string());
        assert_eq!(stage.until_empty("sized").await.dead, 0);
        worker.stop().await;
    }

    async fn what_json_cannot_hold_is_refused_by_the_arguments_name(stage: Stage) {
        let by_place = HashMap::from([((1, 2), "a".to_owned())]);
        for (weights, by_place, named) in [
            (vec![0.5, f64::NAN], HashMap::new(), "argument 1 (`weights`) cannot be sent: NaN is no JSON number"),
            (vec![f64::INFINITY], HashMap::new(), "argument 1 (`weights`) cannot be sent: "),
            (vec![0.5], by_place, "argument 2 (`by_place`) cannot be sent: "),
        ] {
            let error = unsendable.send_with(&stage.broker, weights, by_place).await.unwrap_err();
            assert!(error.is_invalid() && !error.is_transient() && !error.is_unknown());
            assert!(error.to_string().starts_with(named), "{error}");
        }
        assert!(stage.list("unsendable", State::Ready).await.is_empty());
    }
}

#[tokio::test]
async fn the_limit_of_a_message_is_a_brokers_setting() {
    let stage = Stage::with(RedisServer::start(), |settings| settings.max_message_bytes(1_000)).await;
    let memory = MemoryBroker::new().with_max_message_bytes(1_000);
    for broker in [&stage.broker as &dyn actor_core::Broker, &memory] {
        let error = sized.send_with(broker, "x".repeat(1_000)).await.unwrap_err();
        assert!(error.to_string().contains("the broker takes at most 1000"), "{error}");
        sized.send_with(broker, "x".repeat(500)).await.unwrap();
    }
}
