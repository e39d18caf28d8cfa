//! What is sent arrives: from the caller's arguments, through a message, to the body's parameters.
#![allow(clippy::unwrap_used)] // Each one is an assertion.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use actor_core::broker::Enqueue;
use actor_core::inspect::{Page, State};
use actor_core::testing::{Drained, TestBroker};
use actor_core::{Actor, BatchContext, Broker, Context, Inspect, MessageId, Priority, actor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the bodies saw.
type Seen = Arc<Mutex<Vec<String>>>;

fn see(seen: &Seen, what: impl fmt::Debug) {
    seen.lock().unwrap().push(format!("{what:?}"));
}

/// Stores a message as another program would write it, perhaps before an argument was added.
async fn enqueue<A: Actor>(broker: &TestBroker, args: Value) {
    let id = MessageId::new();
    let (name, queue) = (A::DEF.name, A::DEF.queue_name());
    let body = json!({ "v": 1, "id": id, "actor": name, "queue": queue.as_str(), "args": args }).to_string();
    broker.enqueue(&queue, vec![Enqueue::new(id, Priority::Normal, body.into())]).await.pop().unwrap().unwrap();
}

/// Runs what was sent, and returns what the bodies saw.
async fn run(broker: &TestBroker) -> (Drained, Vec<String>) {
    let seen = Seen::default();
    let drained = broker.worker().state(seen.clone()).drain().await;
    let seen = seen.lock().unwrap().clone();
    (drained, seen)
}

/// Why the queue's only dead letter is one.
async fn reason<A: Actor>(broker: &TestBroker) -> String {
    let dead = broker.memory().list(&A::DEF.queue_name(), State::Dead, Page::first(2)).await.unwrap().messages;
    assert_eq!(dead.len(), 1, "there is more or less than one dead letter");
    dead[0].reason.clone().unwrap()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Size {
    width: u32,
    height: Option<u32>,
}

/// Not `Clone`: what is behind a `&` is read anew.
#[derive(Serialize, Deserialize)]
struct Depth(u8);

#[tokio::test]
async fn owned_and_borrowed_arguments_arrive_among_the_other_parameters() {
    #[actor(queue = "mixed")]
    #[expect(clippy::too_many_arguments)]
    async fn mixed(
        name: &str,
        #[state] seen: &Seen,
        size: Size,
        sizes: &[Size],
        cx: &Context,
        file: &Path,
        borrowed: &Depth,
        mut note: Option<String>,
        unit: (),
    ) {
        note = note.map(|note| note.to_uppercase());
        see(seen, (name, size.width, sizes.len(), cx.attempt(), file, borrowed.0, note, unit));
    }

    let broker = TestBroker::new();
    let small = Size { width: 1, height: Some(2) };
    let sizes = [small.clone(), small.clone()];
    let note = Some("x, \"y\" ]".to_owned());
    mixed.send_with(&broker, "ada", small.clone(), &sizes, Path::new("/a"), &Depth(2), note, ()).await.unwrap();
    let (drained, seen) = run(&broker).await;
    assert_eq!((drained.done, seen.concat().as_str()), (1, r#"("ada", 1, 2, 1, "/a", 2, Some("X, \"Y\" ]"), ())"#));
}

#[tokio::test]
async fn a_message_from_before_an_argument_was_added_still_runs() {
    #[actor(queue = "grown")]
    fn grown(
        #[state] seen: &Seen,
        id: u64,
        #[default = 80] quality: u8,
        #[default = "jpeg"] format: &str,
        #[default] tags: &[String],
        title: Option<String>,
    ) {
        see(seen, (id, quality, format, tags.len(), title));
    }

    let broker = TestBroker::new();
    enqueue::<grown>(&broker, json!([1])).await;
    enqueue::<grown>(&broker, json!([2, 90, "png"])).await;
    enqueue::<grown>(&broker, json!([3, 90, "png", ["a"], "b"])).await;
    let (drained, seen) = run(&broker).await;
    assert_eq!(drained.done, 3);
    assert_eq!(seen, [r#"(1, 80, "jpeg", 0, None)"#, r#"(2, 90, "png", 0, None)"#, r#"(3, 90, "png", 1, Some("b"))"#]);
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    #[actor(queue = "fits")]
    async fn fits(name: String, size: u8) {
        let _ = (name, size);
    }
    #[actor(queue = "fits_two")]
    async fn fits_two(name: String, size: u8) {
        let _ = (name, size);
    }
    #[actor(queue = "fits_one")]
    async fn fits_one(name: &str) {
        let _ = name;
    }

    let broker = TestBroker::new();
    enqueue::<fits>(&broker, json!(["ada", 300])).await;
    enqueue::<fits_two>(&broker, json!(["ada"])).await;
    enqueue::<fits_one>(&broker, json!(["ada", 1, 2])).await;
    let (drained, _) = run(&broker).await;
    assert_eq!((drained.dead_lettered, drained.retried), (2, 1));
    let reasons = [reason::<fits>(&broker).await, reason::<fits_two>(&broker).await];
    assert!(reasons[0].contains("argument 2 (`size`): invalid value: integer `300`, expected u8"), "{reasons:?}");
    assert!(reasons[1].contains("argument 2 (`size`) is missing"), "{reasons:?}");
    let left = "fits_one: left for a worker that can run it: the message has 3 arguments, but";
    assert!(drained.errors.iter().any(|error| error.starts_with(left)), "{drained:?}");
}

#[tokio::test]
async fn a_state_that_was_not_given_is_named() {
    #[actor(queue = "needy")]
    async fn needy(#[state] limit: &Mutex<u64>) {
        let _ = limit;
    }

    let broker = TestBroker::new();
    needy.send_with(&broker).await.unwrap();
    let (drained, _) = run(&broker).await;
    assert_eq!(drained.dead_lettered, 1);
    let reason = reason::<needy>(&broker).await;
    assert!(reason.contains("Mutex<u64>"), "{reason}");
}

#[tokio::test]
async fn retry_if_decides_what_is_tried_again() {
    #[actor(queue = "choosy", max_retries = 9, retry_if = |error| error.starts_with("later"))]
    async fn choosy(what: &str) -> Result<(), String> {
        Err(what.to_owned())
    }

    let broker = TestBroker::new();
    for what in ["later", "never"] {
        choosy.send_with(&broker, what).await.unwrap();
    }
    let (drained, _) = run(&broker).await;
    assert_eq!((drained.retried, drained.dead_lettered), (1, 1));
    assert_eq!(reason::<choosy>(&broker).await, "never");
}

#[tokio::test]
async fn each_item_of_send_many_is_a_message() {
    #[actor(queue = "many")]
    fn single(#[state] seen: &Seen, name: &str) {
        see(seen, name);
    }
    #[actor(queue = "many")]
    async fn pair(id: u8, #[state] seen: &Seen, name: &str) {
        see(seen, (id, name));
    }
    #[actor(queue = "many")]
    async fn none(#[state] seen: &Seen) {
        see(seen, ());
    }

    let broker = TestBroker::new();
    let names = ["ada".to_owned(), "bob".to_owned()];
    single.send_many_with(&broker, names.iter().map(String::as_str)).await.unwrap();
    pair.send_many_with(&broker, (1..).zip(["cy"])).await.unwrap();
    none.send_many_with(&broker, [()]).await.unwrap();
    let (drained, seen) = run(&broker).await;
    assert_eq!((drained.done, seen), (4, ["\"ada\"", "\"bob\"", "(1, \"cy\")", "()"].map(str::to_owned).into()));
}

/// The error of an actor that is declared apart from its implementation.
#[derive(Debug)]
pub struct Missing {
    for_now: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such video")
    }
}

impl std::error::Error for Missing {}

#[tokio::test]
async fn a_declaration_is_run_by_its_implementation() {
    mod tasks {
        #[actor_core::actor(queue = "video", name = "video.process")]
        pub(super) async fn process_video(id: u64, title: &str) -> Result<String, super::Missing>;
    }

    // A plain `fn` of another name, with parameters of its own and a default that the sender need not know.
    #[actor(implements = tasks::process_video, retry_if = |missing| missing.for_now)]
    fn transcode(
        id: u64,
        cx: &Context,
        #[default = "untitled"] title: &str,
        #[state] seen: &Seen,
    ) -> Result<String, Missing> {
        see(seen, (id, title, cx.actor()));
        if id == 0 { Err(Missing { for_now: false }) } else { Ok(title.to_owned()) }
    }

    let broker = TestBroker::new();
    tasks::process_video.send_with(&broker, 1, "title").await.unwrap();
    enqueue::<tasks::process_video>(&broker, json!([0])).await;
    let (drained, seen) = run(&broker).await;
    assert_eq!((drained.done, drained.dead_lettered), (1, 1));
    assert_eq!(seen, [r#"(1, "title", "video.process")"#, r#"(0, "untitled", "video.process")"#]);
    assert_eq!(reason::<tasks::process_video>(&broker).await, "there is no such video");
}

#[tokio::test]
async fn several_messages_arrive_at_once_and_each_has_its_own_outcome() {
    #[actor(queue = "search", max_retries = 0, batch(max = 2, wait = "1h"), retry_if = |_| true)]
    async fn index(mut documents: Vec<Size>, cx: &BatchContext, #[state] seen: &Seen) -> Vec<Result<u32, Missing>> {
        documents.sort_by_key(|size| size.width);
        see(seen, (documents.iter().map(|size| size.width).collect::<Vec<_>>(), cx.items().len()));
        let end = |size: Size| if size.width == 2 { Err(Missing { for_now: true }) } else { Ok(size.width) };
        documents.into_iter().map(end).collect()
    }

    let broker = TestBroker::new();
    let size = |width| Size { width, height: None };
    index.send_with(&broker, size(1)).await.unwrap();
    index.message(size(2)).send_with(&broker).await.unwrap();
    index.send_many_with(&broker, [size(3)]).await.unwrap();
    enqueue::<index>(&broker, json!([{ "width": "wide" }])).await;
    let (drained, seen) = run(&broker).await;
    // What is left of the wait does not pass.
    assert_eq!((drained.done, drained.dead_lettered), (2, 2));
    assert_eq!(seen, ["([1, 2], 2)", "([3], 1)"]);
}

#[tokio::test]
async fn several_messages_are_run_by_an_implementation_of_one() {
    mod tasks {
        #[actor_core::actor(queue = "search")]
        pub(super) async fn index_one(document: String) -> Result<(), super::Missing>;
    }

    #[actor(implements = tasks::index_one, batch(max = 10, wait = "1h"))]
    fn index_many(documents: Vec<String>, #[state] seen: &Seen) -> Result<Vec<Result<(), Missing>>, Missing> {
        see(seen, &documents);
        Ok(documents.iter().map(|_| Ok(())).collect())
    }

    let broker = TestBroker::new();
    tasks::index_one.send_many_with(&broker, ["a", "b"].map(str::to_owned)).await.unwrap();
    let (drained, seen) = run(&broker).await;
    assert_eq!(drained.done, 2);
    assert_eq!(seen, [r#"["a", "b"]"#]);
    assert_eq!(tasks::index_one::DEF.signature(), "(document: String)");
}
