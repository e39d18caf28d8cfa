//! What the in-process broker promises beyond the seam.

mod terminal;

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Wait, WorkerId};
use actor_core::inspect::{Cursor, Handle, Inspect, Page, State, Which};
use actor_core::settlement::Outcome;
use actor_core::{Durability, MemoryBroker, MessageId, Priority, QueueName};

use self::terminal::Terminal;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// How long a claim waits for what comes. Only a broker that is wrong takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn queue() -> QueueName {
    QueueName::new("memory").expect("it is a name")
}

fn consumer() -> Consumer {
    Consumer::new(WorkerId::new("worker"), queue())
}

async fn send(broker: &MemoryBroker, delay: Duration) {
    let message = Enqueue::new(MessageId::new(), Priority::Normal, "it".into()).after(delay);
    for answer in broker.enqueue(&queue(), vec![message]).await {
        answer.expect("it takes everything");
    }
}

#[tokio::test]
async fn what_memory_cannot_be_is_refused_and_not_stored() {
    let broker = MemoryBroker::new();
    let all = [Durability::Replicated(1), Durability::Stored, Durability::Synced, Durability::Replicated(0)];
    let messages =
        all.map(|level| Enqueue::new(MessageId::new(), Priority::Normal, "it".into()).durability(level)).to_vec();
    let answers = broker.enqueue(&queue(), messages).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false, true]);
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(!error.is_stored() && !error.is_unknown() && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("send it as Stored"), "{error}");
    }
    assert_eq!(broker.counts(&queue()).await.expect("it is known").ready, 2);
}

async fn claim(broker: &MemoryBroker, limit: Duration) -> usize {
    broker.claim(&consumer(), 10, &Wait::new(limit)).await.expect("it never fails").len()
}

#[tokio::test]
async fn clones_share_their_messages_and_their_clock() {
    let broker = MemoryBroker::new();
    send(&broker.clone(), HOUR).await;
    broker.clone().advance(HOUR);
    assert_eq!(claim(&broker, Duration::ZERO).await, 1);
}

#[tokio::test]
async fn a_scheduled_message_wakes_a_claim_by_time_alone() {
    let broker = MemoryBroker::new();
    send(&broker, Duration::from_millis(20)).await;
    assert_eq!(claim(&broker, PATIENCE).await, 1);
}

#[tokio::test]
async fn a_clock_that_is_moved_on_wakes_every_claim() {
    let broker = MemoryBroker::new();
    for _ in 0..2 {
        send(&broker, HOUR).await;
    }
    let advance = async {
        tokio::task::yield_now().await;
        broker.advance(HOUR);
    };
    let (one, other, wait) = (consumer(), consumer(), Wait::new(PATIENCE));
    let (one, other, ()) = tokio::join!(broker.claim(&one, 1, &wait), broker.claim(&other, 1, &wait), advance);
    assert_eq!((one.unwrap().len(), other.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_dropped_claim_holds_nothing() {
    let broker = MemoryBroker::new();
    let (dropped, kept) = (consumer(), consumer());
    let wait = Wait::new(PATIENCE);
    let mut first = broker.claim(&dropped, 1, &wait);
    let mut second = broker.claim(&kept, 1, &wait);
    // Both wait. Then a message comes, and the first is dropped before it is polled again.
    assert!(poll_once(&mut first).await.is_none());
    assert!(poll_once(&mut second).await.is_none());
    send(&broker, Duration::ZERO).await;
    drop(first);
    assert_eq!(second.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_claim_on_a_paused_queue_is_woken_when_it_is_resumed() {
    let broker = MemoryBroker::new();
    broker.pause(&queue()).await.unwrap();
    send(&broker, Duration::ZERO).await;
    let resume = async {
        tokio::task::yield_now().await;
        broker.resume(&queue()).await.unwrap();
    };
    assert_eq!(tokio::join!(claim(&broker, PATIENCE), resume).0, 1);
}

#[tokio::test]
async fn a_replayed_dead_letter_wakes_a_claim() {
    let (broker, consumer) = (MemoryBroker::new(), consumer());
    send(&broker, Duration::ZERO).await;
    let delivered = broker.claim(&consumer, 1, &Wait::new(PATIENCE)).await.unwrap().pop().unwrap();
    let dead_letter = Outcome::DeadLetter { id: None, body: delivered.body, reason: "for a test".to_owned() }.into();
    broker.settle(&consumer, &[(delivered.receipt, dead_letter)]).await;
    let replay = async {
        tokio::task::yield_now().await;
        assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 1);
    };
    assert_eq!(tokio::join!(claim(&broker, PATIENCE), replay).0, 1);
}

#[tokio::test]
async fn its_clock_goes_with_the_systems_until_it_is_moved_on() {
    let broker = MemoryBroker::new();
    let off = broker.now().duration_since(SystemTime::now()).unwrap_or_else(|early| early.duration());
    assert!(off < Duration::from_secs(10), "it is off by {off:?}");
    let before = broker.now();
    broker.advance(HOUR);
    assert!(broker.now().duration_since(before).unwrap() >= HOUR);
}

#[tokio::test]
async fn no_duration_is_too_long_for_it() {
    let broker = MemoryBroker::new();
    send(&broker, Duration::MAX).await;
    let worker = WorkerId::new("worker");
    broker.register(&worker, &[queue()], Duration::MAX).await.unwrap();
    broker.renew(&worker, &[queue()], Duration::MAX).await.unwrap();
    let listed = broker.list(&queue(), State::Scheduled, Page::first(usize::MAX)).await.unwrap();
    assert!(listed.messages[0].time.unwrap() > broker.now());
    let (wait, consumer) = (Wait::new(Duration::MAX), consumer());
    let (delivered, ()) = tokio::join!(broker.claim(&consumer, usize::MAX, &wait), async { wait.stop() });
    assert!(delivered.unwrap().is_empty());
}

#[tokio::test]
async fn a_foreign_cursor_or_handle_is_no_panic() {
    let broker = MemoryBroker::new();
    send(&broker, Duration::ZERO).await;
    let page = Page::after(Cursor::new("of another broker".to_owned()), 0);
    let error = broker.list(&queue(), State::Ready, page).await.unwrap_err();
    assert!(!error.is_transient());
    let handle = Handle::new("of another broker".to_owned());
    assert!(broker.read(&queue(), State::Ready, &handle).await.unwrap().is_none());
    assert!(!broker.delete(&queue(), State::Ready, &handle).await.unwrap());
}

#[tokio::test]
async fn it_takes_messages_of_the_size_it_was_told() {
    assert_eq!(MemoryBroker::new().max_message_bytes(), 1 << 20);
    assert_eq!(MemoryBroker::new().with_max_message_bytes(100).max_message_bytes(), 100);
}

#[tokio::test]
async fn its_debug_output_names_its_queues() {
    let broker = MemoryBroker::new();
    send(&broker, Duration::ZERO).await;
    assert_eq!(format!("{broker:?}"), r#"MemoryBroker { queues: ["memory"], .. }"#);
}

/// Polls a future once, and says what it gave.
#[tokio::test]
async fn with_weighted_priorities_a_low_one_has_a_share_beside_high_ones_that_never_end() {
    for (broker, share) in [(MemoryBroker::new(), 0), (MemoryBroker::new().with_weighted_priorities(), 20)] {
        for (priority, body) in [(Priority::Low, "low"), (Priority::High, "high")] {
            let messages = (0..1_000).map(|_| Enqueue::new(MessageId::new(), priority, body.into())).collect();
            for answer in broker.enqueue(&queue(), messages).await {
                answer.expect("it takes everything");
            }
        }
        let mut low = 0;
        for _ in 0..16 {
            let delivered = broker.claim(&consumer(), 10, &Wait::new(Duration::ZERO)).await.expect("it delivers");
            assert_eq!(delivered.len(), 10);
            low += delivered.iter().filter(|delivery| delivery.body == "low").count();
        }
        assert_eq!(low, share);
    }
}

async fn dead_letter(broker: &MemoryBroker, count: usize) {
    for _ in 0..count {
        send(broker, Duration::ZERO).await;
    }
    let worker = consumer();
    let delivered = broker.claim(&worker, count, &Wait::new(Duration::ZERO)).await.expect("it does everything");
    let dead_letter = |body| Outcome::DeadLetter { id: None, body, reason: "for a test".to_owned() }.into();
    let settlements: Vec<_> =
        delivered.into_iter().map(|delivery| (delivery.receipt, dead_letter(delivery.body))).collect();
    assert_eq!(settlements.len(), count);
    for answer in broker.settle(&worker, &settlements).await {
        answer.expect("it does everything");
    }
}

async fn pruned(broker: &MemoryBroker) -> (u64, Option<SystemTime>) {
    let counts = broker.counts(&queue()).await.expect("it does everything");
    (counts.pruned, counts.pruned_since)
}

#[tokio::test]
async fn dead_letters_over_the_bound_and_too_old_ones_leave_a_trace_until_a_person_has_seen_to_the_rest() {
    let terminal = Terminal::default();
    let _here = tracing::subscriber::set_default(terminal.subscriber(tracing::Level::INFO));
    let hundred = NonZeroU64::new(100).expect("it does everything");
    let broker = MemoryBroker::new().with_dead_letters(Duration::from_secs(3600), hundred);
    dead_letter(&broker, 100).await;
    assert_eq!(pruned(&broker).await, (0, None));
    dead_letter(&broker, 50).await;
    let (count, since) = pruned(&broker).await;
    assert_eq!((broker.counts(&queue()).await.expect("it does everything").dead, count), (100, 50));
    assert!(since.is_some_and(|since| since <= broker.now()));
    broker.advance(Duration::from_secs(3601));
    assert_eq!(pruned(&broker).await, (150, since));
    let lines = terminal.lines("dead letters pruned");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("queue=memory pruned=50"), "{lines:?}");
    // None is left, but no person has seen to that.
    assert_eq!(broker.counts(&queue()).await.expect("it does everything").dead, 0);
    dead_letter(&broker, 1).await;
    assert_eq!(broker.purge(&queue(), State::Dead).await.expect("it does everything"), 1);
    assert_eq!(pruned(&broker).await, (0, None));
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
