//! People read and repair.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::scene::{Scene, dead_lettered, message, text, texts};
use crate::broker::{Broker, Enqueue};
use crate::inspect::{Inspect, Page, State, Which};
use crate::settlement::{Outcome, Settled};
use crate::{MessageId, Priority, QueueName, wire};

const HOUR: Duration = Duration::from_secs(3600);
const REACHED: &str = "the storage can be reached";
const ALL: [State; 4] = [State::Ready, State::InFlight, State::Scheduled, State::Dead];

/// A queue with one message in each state, whose body names it.
async fn one_in_each_state<H: Harness>(harness: &H) -> Scene<'_, H> {
    let scene = Scene::new(harness).await;
    scene.dead_letter(["Dead".into()]).await;
    scene.send(&["InFlight"]).await;
    let worker = scene.worker("worker").await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["InFlight"]);
    scene.send(&["Ready"]).await;
    scene.enqueue(vec![message("Scheduled", Priority::Normal).after(HOUR)]).await;
    scene
}

/// A message that has failed before.
fn failed(priority: &str) -> Bytes {
    let id = MessageId::new();
    let history = r#""attempt":4,"crashes":2,"mine":1.50,"last_error":"no""#;
    let message = format!(r#""v":1,"id":"{id}","actor":"a","queue":"q","args":[1,null],"priority":"{priority}""#);
    format!("{{{message},{history}}}").into()
}

/// Each message once.
pub async fn messages_are_counted_in_every_state<H: Harness>(harness: &H) {
    let scene = one_in_each_state(harness).await;
    scene.counts([1, 1, 1, 1]).await;
    scene.send(&["more"]).await;
    scene.enqueue(vec![message("more", Priority::High), message("more", Priority::Low)]).await;
    scene.counts([4, 1, 1, 1]).await;
}

/// And the others are not.
pub async fn a_queue_that_was_used_is_known<H: Harness>(harness: &H) {
    let mut scene = Scene::new(harness).await;
    assert_eq!(scene.broker.queues().await.expect(REACHED), []);
    let [first, second] = ["conformance.a", "conformance.b"].map(QueueName::declared);
    for queue in [&second, &first] {
        scene.queue = queue.clone();
        scene.send(&["it"]).await;
    }
    assert_eq!(scene.broker.queues().await.expect(REACHED), [first, second]);
}

/// Zero would be taken for an answer. A queue that is empty was used, or a worker serves it.
pub async fn a_queue_that_was_never_used_is_an_error_and_stays_unknown<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    scene.worker("worker").await;
    let (broker, mistake) = (&scene.broker, QueueName::declared("conformanse"));
    let refusals = [
        broker.counts(&mistake).await.map(drop),
        broker.list(&mistake, State::Dead, Page::first(10)).await.map(drop),
        broker.replay(&mistake, Which::All).await.map(drop),
        broker.purge(&mistake, State::Dead).await.map(drop),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("there is no such queue");
        let text = error.to_string();
        assert!(
            error.is_no_such_queue()
                && !error.is_transient()
                && text.contains("`conformanse`")
                && text.contains("`conformance`"),
            "{text}"
        );
    }
    assert_eq!(broker.queues().await.expect(REACHED), std::slice::from_ref(&scene.queue));
    scene.counts([0, 0, 0, 0]).await;
    assert!(scene.list(State::Dead).await.is_empty());
    assert_eq!(broker.replay(&scene.queue, Which::All).await.expect(REACHED), 0);
    assert_eq!(broker.purge(&scene.queue, State::Dead).await.expect(REACHED), 0);
}

/// In every state, without gaps and without repetitions.
pub async fn pages_show_every_message_once<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let bodies: Vec<String> = (10..35).map(|number| number.to_string()).collect();
    let messages = |priority| bodies.iter().map(move |body| message(body, priority));
    scene.dead_letter(bodies.iter().map(|body| Bytes::from(body.clone()))).await;
    scene.enqueue(messages(Priority::Normal).collect()).await;
    let worker = scene.worker("worker").await;
    scene.deliver(&worker, bodies.len()).await;
    scene.enqueue(messages(Priority::Normal).collect()).await;
    let hours = (1..).map(|hours| HOUR * hours);
    scene.enqueue(messages(Priority::High).zip(hours).map(|(message, delay)| message.after(delay)).collect()).await;
    for state in ALL {
        let (mut shown, mut page) = (Vec::new(), Page::first(10));
        loop {
            let listing = scene.broker.list(&scene.queue, state, page).await.expect(REACHED);
            assert!(listing.messages.len() <= 10, "a page of {} messages", listing.messages.len());
            shown.extend(listing.messages.iter().map(|listed| text(&listed.body)));
            assert!(shown.len() <= bodies.len(), "{state:?}: more is shown than there is: {shown:?}");
            page = match listing.next {
                Some(next) => Page::after(next, 10),
                None => break,
            };
        }
        // Those that were in flight or dead-lettered within a moment are equally old.
        if matches!(state, State::InFlight | State::Dead) {
            shown.sort();
        }
        assert_eq!(shown, bodies, "{state:?}");
    }
}

/// Since when, held by whom, and why it is dead.
pub async fn a_listed_message_says_what_it_is<H: Harness>(harness: &H) {
    let scene = one_in_each_state(harness).await;
    let now = scene.broker.now();
    for state in ALL {
        let listed = scene.list(state).await;
        let [listed] = &*listed else { panic!("{state:?}: {} messages are listed", listed.len()) };
        assert_eq!(text(&listed.body), format!("{state:?}"));
        assert_eq!(listed.worker.is_some(), state == State::InFlight, "{:?}", listed.worker);
        assert_eq!(listed.reason.as_deref(), (state == State::Dead).then_some("it failed"));
        let expected = if state == State::Scheduled { now + HOUR } else { now };
        if let Some(time) = listed.time {
            let off = time.duration_since(expected).unwrap_or_else(|early| early.duration());
            assert!(off < Duration::from_secs(60), "{state:?}: the time is off by {off:?}");
        }
    }
    assert!(scene.list(State::Scheduled).await[0].time.is_some(), "when it is due is known");
    assert!(scene.list(State::Dead).await[0].time.is_some(), "when it was dead-lettered is known");
}

/// A handle names a message in a state.
pub async fn a_listed_message_is_read_again_until_it_moves_on<H: Harness>(harness: &H) {
    let scene = one_in_each_state(harness).await;
    for state in ALL {
        let handle = scene.list(state).await.remove(0).handle;
        let read = scene.broker.read(&scene.queue, state, &handle).await.expect(REACHED);
        assert_eq!(read.map(|listed| text(&listed.body)), Some(format!("{state:?}")));
    }
    let handle = scene.list(State::Ready).await.remove(0).handle;
    let worker = scene.worker("worker").await;
    let delivery = scene.claim_one(&worker).await;
    assert!(scene.broker.read(&scene.queue, State::Ready, &handle).await.expect(REACHED).is_none());
    let handles = scene.list(State::InFlight).await.into_iter().map(|listed| listed.handle);
    assert_eq!(scene.settle(&worker, &delivery, Outcome::Done.into()).await, Settled::Applied);
    let mut left = 0;
    for handle in handles {
        let read = scene.broker.read(&scene.queue, State::InFlight, &handle).await.expect(REACHED);
        left += usize::from(read.is_some());
    }
    assert_eq!(left, 1);
}

/// It begins anew: its attempts, its crashes and its error are forgotten, and its own members are not.
pub async fn one_dead_letter_is_replayed<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    scene.dead_letter([failed("normal"), "no message".into()]).await;
    let dead = scene.list(State::Dead).await;
    let dead_letter = dead.iter().find(|dead| dead.body.starts_with(b"{")).expect("it is there");
    let replay = || async {
        let which = Which::One(dead_letter.handle.clone());
        scene.broker.replay(&scene.queue, which).await.expect(REACHED)
    };
    assert_eq!(replay().await, 1);
    assert_eq!(replay().await, 0);
    scene.counts([1, 0, 0, 1]).await;
    let worker = scene.worker("worker").await;
    let body = scene.claim_one(&worker).await.body;
    let message = wire::Envelope::decode(&body).expect("it stays a message");
    assert_eq!((message.attempt, message.crashes, message.last_error.as_deref()), (0, 0, None));
    assert_eq!(message.args, "[1,null]");
    assert!(text(&body).contains(r#""mine":1.50"#), "{body:?}");
}

/// Also those that were never messages, which stay as they are.
pub async fn all_dead_letters_are_replayed_in_their_priorities<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    scene.dead_letter([failed("low"), "no message".into(), failed("high")]).await;
    assert_eq!(scene.broker.replay(&scene.queue, Which::All).await.expect(REACHED), 3);
    assert_eq!(scene.broker.replay(&scene.queue, Which::All).await.expect(REACHED), 0);
    scene.counts([3, 0, 0, 0]).await;
    let worker = scene.worker("worker").await;
    let delivered = scene.deliver(&worker, 3).await;
    let priorities: Vec<_> = delivered
        .iter()
        .map(|delivered| wire::Envelope::decode(&delivered.body).ok().and_then(|message| message.priority))
        .collect();
    assert_eq!(priorities, [Some(Priority::High), None, Some(Priority::Low)]);
    assert_eq!(text(&delivered[1].body), "no message");
}

/// A in flight one is its worker's to settle.
pub async fn a_message_is_deleted_unless_it_is_in_flight<H: Harness>(harness: &H) {
    let scene = one_in_each_state(harness).await;
    for state in ALL {
        let handle = scene.list(state).await.remove(0).handle;
        let there = state != State::InFlight;
        assert_eq!(scene.broker.delete(&scene.queue, state, &handle).await.expect(REACHED), there, "{state:?}");
        assert!(!scene.broker.delete(&scene.queue, state, &handle).await.expect(REACHED), "{state:?}, again");
    }
    scene.counts([0, 1, 0, 0]).await;
    let worker = scene.worker("worker").await;
    scene.delivers_nothing(&worker).await;
}

/// Whatever its messages' priorities are.
pub async fn a_state_is_purged_unless_it_is_in_flight<H: Harness>(harness: &H) {
    let scene = one_in_each_state(harness).await;
    scene.enqueue(vec![message("more", Priority::High), message("more", Priority::Low)]).await;
    for (state, purged) in ALL.into_iter().zip([3, 0, 1, 1]) {
        assert_eq!(scene.broker.purge(&scene.queue, state).await.expect(REACHED), purged, "{state:?}");
        assert_eq!(scene.broker.purge(&scene.queue, state).await.expect(REACHED), 0, "{state:?}, again");
    }
    scene.counts([0, 1, 0, 0]).await;
    let worker = scene.worker("worker").await;
    scene.delivers_nothing(&worker).await;
    scene.send(&["new"]).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["new"]);
}

/// What is in flight runs on. A worker learns of either by its next renewal.
pub async fn a_paused_queue_delivers_nothing_until_it_is_resumed<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["running", "waiting"]).await;
    let running = scene.claim_one(&worker).await;
    scene.broker.pause(&scene.queue).await.expect(REACHED);
    scene.renew(&worker).await;
    assert!(scene.broker.counts(&scene.queue).await.expect(REACHED).paused);
    scene.delivers_nothing(&worker).await;
    let (body, id) = (Bytes::from("sent while it is paused"), MessageId::new());
    scene.enqueue(vec![Enqueue::new(id, Priority::Normal, body)]).await;
    scene.delivers_nothing(&worker).await;
    assert_eq!(scene.settle(&worker, &running, dead_lettered("running".into(), "it failed")).await, Settled::Applied);
    scene.counts([2, 0, 0, 1]).await;
    scene.broker.resume(&scene.queue).await.expect(REACHED);
    scene.renew(&worker).await;
    assert!(!scene.broker.counts(&scene.queue).await.expect(REACHED).paused);
    assert_eq!(texts(&scene.deliver(&worker, 2).await), ["waiting", "sent while it is paused"]);
}
