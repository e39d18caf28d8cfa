use std::path::Path;
use std::time::Duration;

use actor_core::inspect::State;
use actor_core::{Context, actor};

use crate::on_every_broker;
use crate::support::{Probe, RunningWorker, Stage, by_hand, probe};

#[actor(queue = "context", name = "context_of_a_run", min_backoff = "1ms", max_backoff = "1ms")]
async fn context_of_run(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    report_info(cx, probe);
    if cx.attempt() == 1 { Err("once more".to_owned()) } else { Ok(()) }
}

#[actor(queue = "context")]
fn sync_info(#[state] probe: &Probe, cx: &Context) {
    report_info(cx, probe);
}

fn report_info(cx: &Context, probe: &Probe) {
    let (id, actor, queue) = (cx.id(), cx.actor(), cx.queue());
    let (attempt, crashes, token) = (cx.attempt(), cx.crashes(), cx.fencing_token());
    let cancelled = cx.cancellation();
    probe.report(format!(
        "{id} {actor} of {queue}: attempt {attempt} crashes {crashes} token {token} cancelled {cancelled:?}"
    ));
}

struct Greeting(&'static str);

#[actor(queue = "greets")]
async fn greets(cx: &Context, name: String, #[state] greeting: &Greeting, #[state] probe: &Probe) {
    let same = cx.state::<Greeting>().is_some_and(|state| std::ptr::eq(state, greeting));
    let none = cx.state::<u8>().is_none();
    probe.report(format!("{}, {name}: {same} {none}", greeting.0));
}

#[actor(queue = "borrows")]
async fn borrows(text: &str, numbers: &[u32], path: &Path, #[state] probe: &Probe) {
    tokio::task::yield_now().await;
    probe.report(format!("{text} {numbers:?} {}", path.display()));
}

#[actor(queue = "grown")]
async fn grown(
    first: u32,
    second: Option<String>,
    #[default] third: Vec<u8>,
    #[default = 7] fourth: u8,
    #[state] probe: &Probe,
) {
    probe.report(format!("{first} {second:?} {third:?} {fourth}"));
}

#[actor(queue = "greets")]
async fn greeting_of(name: &str, #[state] greeting: &Greeting) -> Result<String, String> {
    if name.is_empty() { Err("nobody".to_owned()) } else { Ok(format!("{}, {name}", greeting.0)) }
}

mod declared {
    use actor_core::actor;

    #[actor(queue = "apart", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
    pub async fn apart(number: u32) -> Result<(), String>;
}

#[actor(implements = declared::apart)]
async fn apart(cx: &Context, number: u32, #[state] probe: &Probe) -> Result<(), String> {
    probe.report(format!("{number} attempt {}", cx.attempt()));
    Err("as always".to_owned())
}

#[actor(queue = "patient", max_retries = 0, min_backoff = "1h", max_backoff = "1h")]
async fn patient(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    probe.report(format!("attempt {}", cx.attempt()));
    Err("no".to_owned())
}

#[actor(queue = "stubborn", min_backoff = "1ms", max_backoff = "1ms")]
async fn stubborn(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    probe.report(format!("attempt {}", cx.attempt()));
    Err("no".to_owned())
}

on_every_broker! {
    async fn the_context_says_what_a_run_is(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "context", probe).await;
        let id = context_of_run.send_with(&stage.broker).await.unwrap();
        for n in [1, 2] {
            let expected = format!("{id} context_of_a_run of context: attempt {n} crashes 0 token {n} cancelled None");
            assert_eq!(reports.next().await, expected);
        }
        let id = sync_info.send_with(&stage.broker).await.unwrap();
        let expected = format!("{id} sync_info of context: attempt 1 crashes 0 token 1 cancelled None");
        assert_eq!(reports.next().await, expected);
        worker.stop().await;
    }

    async fn a_run_is_given_what_the_worker_was_given(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "greets", probe).await;
        greets.send_with(&stage.broker, "Ada".to_owned()).await.unwrap();
        assert_eq!(reports.next().await, "hello, Ada: true true");
        worker.stop().await;
    }

    async fn arguments_may_be_borrowed(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "borrows", probe).await;
        borrows.send_with(&stage.broker, "a \"text\"", &[1, 2], Path::new("/tmp/ä")).await.unwrap();
        assert_eq!(reports.next().await, "a \"text\" [1, 2] /tmp/ä");
        worker.stop().await;
    }

    async fn an_older_message_lacks_the_newest_arguments_and_runs(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "grown", probe).await;
        for (args, run) in [
            ("[1]", "1 None [] 7"),
            (r#"[1,"two"]"#, r#"1 Some("two") [] 7"#),
            ("[1,null,[3]]", "1 None [3] 7"),
            ("[1,null,[],4]", "1 None [] 4"),
        ] {
            stage.put("grown", by_hand("grown", "grown", args)).await;
            assert_eq!(reports.next().await, run);
        }
        worker.stop().await;
    }

    async fn an_implementation_may_stand_apart_from_its_declaration(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "apart", probe).await;
        declared::apart.send_with(&stage.broker, 5).await.unwrap();
        assert_eq!(stage.dead_reason("apart").await, "as always");
        worker.stop().await;
        assert_eq!(reports.rest(), ["5 attempt 1", "5 attempt 2"]);
    }

    async fn a_messages_settings_win_over_its_actors(stage: Stage) {
        let (probe, mut reports) = probe();
        let soon = Duration::from_millis(1);
        let eager = worker(&stage, "patient", probe.clone()).await;
        patient.message().max_retries(2).min_backoff(soon).max_backoff(soon).send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("patient").await, "no");
        eager.stop().await;
        assert_eq!(reports.rest(), ["attempt 1", "attempt 2", "attempt 3"]);

        let brief = worker(&stage, "stubborn", probe).await;
        stubborn.message().max_retries(0).send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("stubborn").await, "no");
        brief.stop().await;
        assert_eq!(reports.rest(), ["attempt 1"]);
    }

    async fn a_messages_backoff_wins_over_its_actors(stage: Stage) {
        let (probe, mut reports) = probe();
        let day = Duration::from_secs(86_400);
        let worker = worker(&stage, "stubborn", probe).await;
        stubborn.message().min_backoff(day).max_backoff(day).send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1");
        stage.until("stubborn", |counts| counts.scheduled == 1).await;
        let retry = stage.list("stubborn", State::Scheduled).await.pop().unwrap();
        let wait = retry.time.unwrap().duration_since(stage.broker.now()).unwrap_or_default();
        // Full jitter: anything up to the ceiling. The actor's own ceiling is a millisecond.
        assert!(wait <= day, "{wait:?}");
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }
}

#[tokio::test]
async fn call_runs_the_body_here_without_any_broker() {
    let greeting = Greeting("good day");
    assert_eq!(greeting_of.call("Ada", &greeting).await.unwrap(), "good day, Ada");
    assert_eq!(greeting_of.call("", &greeting).await.unwrap_err(), "nobody");
}

async fn worker(stage: &Stage, queue: &str, probe: Probe) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe).state(Greeting("hello")))
}
