//! A process to which the operating system refuses threads.
//!
//! The limit counts the threads of a user, and does not bind root: the process under test is another user's.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // A test's name is its document.

mod terminal;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actor_core::delivery::WorkerId;
use actor_core::inspect::{Page, State};
use actor_core::{Actor, Broker, Cancellation, Context, Inspect, MemoryBroker, Worker, actor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::Level;

use self::terminal::Terminal;

/// Set in the process under test.
const HERE: &str = "ACTOR_TEST_FEW_THREADS";

/// In the warning of a refused thread.
const REFUSED: &str = "no thread for";

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

type Reports = UnboundedSender<String>;

#[actor(queue = "few")]
fn plain(cx: &Context, #[state] reports: &Reports) {
    reports.send(format!("attempt {} crashes {} token {}", cx.attempt(), cx.crashes(), cx.fencing_token())).unwrap();
}

#[actor(queue = "held")]
async fn holds_on(cx: &Context, #[state] reports: &Reports) {
    reports.send("held".to_owned()).unwrap();
    if cx.cancelled().await == Cancellation::LeaseLost {
        // A success would count.
        std::future::pending::<()>().await;
    }
}

/// Runs a test again in a process of its own, and refuses or allows its threads as it says.
fn run_again(test: &str) {
    // Linux executes no program that somebody has open for writing, as a process has that is started during the copy.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let itself = std::env::current_exe().unwrap();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    // A program that the other user may run too.
    let copy = std::env::temp_dir().join(format!("{test}-{}", std::process::id()));
    std::fs::copy(itself, &copy).unwrap();
    let as_another = |program: &Path| {
        if !is_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]).arg(program);
        command
    };
    let mut command = as_another(&copy);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(HERE, "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let limit = |threads: &str| {
        let mut command = as_another(Path::new("prlimit"));
        let set = command.args(["--pid", &pid, &format!("--nproc={threads}:")]).status().unwrap();
        assert!(set.success());
    };
    let mut stdin = child.stdin.take().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("  {line}");
        match line.as_str() {
            "refuse" => limit("1"),
            "allow" => limit("1000"),
            _ => continue,
        }
        stdin.write_all(b"\n").unwrap();
    }
    let status = child.wait().unwrap();
    let _ = std::fs::remove_file(copy);
    assert!(status.success(), "it failed in the process whose threads are refused");
}

/// Has the parent process do something, and waits until it has.
fn ask(what: &str) {
    // What the harness prints before has no end of line.
    println!("\n{what}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn is_here() -> bool {
    std::env::var_os(HERE).is_some()
}

async fn next(reported: &mut UnboundedReceiver<String>) -> String {
    timeout(HANGS, reported.recv()).await.expect("nothing runs").unwrap()
}

#[test]
fn what_gets_no_thread_is_released_with_nothing_counted_and_runs_later() {
    if !is_here() {
        return run_again("what_gets_no_thread_is_released_with_nothing_counted_and_runs_later");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let terminal = Terminal::default();
        tracing::subscriber::set_global_default(terminal.subscriber(Level::WARN)).unwrap();
        let broker = MemoryBroker::new();
        let queues = [plain::DEF.queue_name(), holds_on::DEF.queue_name()];
        let (reports, mut reported) = unbounded_channel::<String>();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(broker.clone()).queues(queues).state(reports);
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
            // An async actor runs, so the worker has its own threads.
            holds_on.send_with(&broker).await.unwrap();
            assert_eq!(next(&mut reported).await, "held");
            ask("refuse");
            for _ in 0..3 {
                plain.send_with(&broker).await.unwrap();
            }
            sleep(Duration::from_millis(3_500)).await; // How often it tries in this time is what is tested.
            assert!(reported.try_recv().is_err(), "it got a thread");
            let counts = broker.counts(&plain::DEF.queue_name()).await.unwrap();
            assert_eq!((counts.ready + counts.in_flight, counts.scheduled, counts.dead), (3, 0, 0));
            ask("allow");
            for _ in 0..3 {
                let run = next(&mut reported).await;
                let token = run.strip_prefix("attempt 1 crashes 0 token ").unwrap_or_else(|| panic!("{run}"));
                let token: u32 = token.parse().unwrap();
                assert!((2..15).contains(&token), "it was claimed {token} times in 3.5 s");
            }
            assert_eq!(terminal.lines(REFUSED).len(), 1, "warnings");
            drop(stop);
        });
        ended.unwrap();
        assert!(reported.try_recv().is_err(), "it ran a second time");
    });
}

#[test]
fn a_worker_that_lost_its_lease_waits_until_it_gets_a_thread_for_the_next() {
    if !is_here() {
        return run_again("a_worker_that_lost_its_lease_waits_until_it_gets_a_thread_for_the_next");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let terminal = Terminal::default();
        tracing::subscriber::set_global_default(terminal.subscriber(Level::WARN)).unwrap();
        let broker = MemoryBroker::new();
        let queue = holds_on::DEF.queue_name();
        let (reports, mut reported) = unbounded_channel::<String>();
        let (stop, stopped) = oneshot::channel::<()>();
        let lease = Duration::from_millis(300);
        let worker = Worker::builder(broker.clone()).queues([queue.clone()]).state(reports).lease(lease);
        let declare_dead = async || {
            let delivered = broker.list(&queue, State::InFlight, Page::first(1)).await.unwrap();
            let holder = delivered.messages[0].worker.clone().expect("it is in flight");
            broker.deregister(&WorkerId::from_text(&holder), std::slice::from_ref(&queue)).await.unwrap();
        };
        let test = async {
            holds_on.send_with(&broker).await.unwrap();
            assert_eq!(next(&mut reported).await, "held");
            ask("refuse");
            declare_dead().await;
            terminal.until(1, REFUSED).await;
            sleep(Duration::from_millis(500)).await; // That it says no more has no event.
            assert_eq!(terminal.lines(REFUSED).len(), 1, "warnings");
            ask("allow");
            assert_eq!(next(&mut reported).await, "held");
            ask("refuse");
            declare_dead().await;
            terminal.until(2, REFUSED).await;
            // Without a lease it can be stopped all the same.
            drop(stop);
        };
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), test);
        ended.unwrap();
    });
}
