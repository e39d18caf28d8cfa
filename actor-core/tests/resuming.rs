//! What a caller learns of each item of a `send_many` that failed.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::inspect::{Page, State};
use actor_core::{Actor, BrokerError, Durability, Inspect, MemoryBroker, MessageId, QueueName, actor};
use async_trait::async_trait;
use serde_json::Value;

use self::hooked::{Hooked, Hooks};

#[actor(queue = "payouts")]
async fn pay(account: u64, share: f64) {
    let _ = (account, share);
}

/// A broker in memory that fails, once, with the message to an account.
#[derive(Debug, Default)]
struct Failing {
    memory: MemoryBroker,
    fails: Mutex<HashMap<u64, BrokerError>>,
}

impl Failing {
    fn at(fails: impl IntoIterator<Item = (u64, BrokerError)>) -> Hooked<Self> {
        Hooked(Self { fails: Mutex::new(fails.into_iter().collect()), ..Self::default() })
    }

    /// Every message that is stored, by its account, in the order in which they were stored.
    async fn stored(&self) -> Vec<(u64, MessageId)> {
        let (mut stored, mut page) = (Vec::new(), Page::first(1_000));
        loop {
            let listing = self.memory.list(&pay::DEF.queue_name(), State::Ready, page.clone()).await.unwrap();
            stored.extend(listing.messages.iter().map(|listed| (account(&listed.body), id(&listed.body))));
            page.after = listing.next;
            if page.after.is_none() {
                return stored;
            }
        }
    }

    async fn accounts(&self) -> Vec<u64> {
        let mut accounts: Vec<_> = self.stored().await.into_iter().map(|(account, _)| account).collect();
        accounts.sort_unstable();
        accounts
    }
}

fn account(body: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(body).unwrap()["args"][0].as_u64().unwrap()
}

fn id(body: &[u8]) -> MessageId {
    serde_json::from_slice::<Value>(body).unwrap()["id"].as_str().unwrap().parse().unwrap()
}

#[async_trait]
impl Hooks for Failing {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let mut answers = Vec::new();
        for message in messages {
            let failure = self.fails.lock().unwrap().remove(&account(&message.body));
            // Where it is not known, the message arrived, and its answer is lost.
            if failure.as_ref().is_none_or(|failure| failure.is_unknown() || failure.is_stored()) {
                let message = message.durability(Durability::Stored);
                self.memory.enqueue(queue, vec![message]).await.remove(0).unwrap();
            }
            answers.push(failure.map_or(Ok(Enqueued::Stored), Err));
        }
        answers
    }
}

fn to_each(accounts: impl IntoIterator<Item = u64>) -> impl Iterator<Item = (u64, f64)> {
    accounts.into_iter().map(|account| (account, 0.5))
}

#[tokio::test]
async fn after_a_message_in_the_middle_was_refused_each_item_can_be_sent_once() {
    // Of three chunks the second fails in its middle.
    let broker = Failing::at([(1_500, BrokerError::busy("full"))]);
    let mut accounts = 0..2_500;
    let failed = pay.send_many_with(&broker, to_each(accounts.by_ref())).await.unwrap_err();
    assert!(failed.error.is_transient() && failed.unknown.is_empty());
    assert_eq!((&*failed.not_sent, failed.taken), (&[1_500][..], 2_000));
    let as_reported: Vec<_> = failed.sent.iter().map(|(position, id)| (*position as u64, *id)).collect();
    assert_eq!(as_reported, broker.stored().await, "a position is not that of its message");
    assert_eq!(accounts.start, 2_000, "the iterator does not go on where the error says");
    let left = failed.not_sent.iter().map(|position| *position as u64).chain(accounts);
    pay.send_many_with(&broker, to_each(left)).await.unwrap();
    assert_eq!(broker.accounts().await, (0..2_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_item_whose_answer_was_lost_in_the_middle_is_not_among_those_that_were_not_sent() {
    let broker = Failing::at([(3, BrokerError::busy("full")), (5, BrokerError::unknown("no answer"))]);
    let accounts: Vec<u64> = (0..8).collect();
    let failed = pay.send_many_with(&broker, to_each(accounts.iter().copied())).await.unwrap_err();
    assert!(!failed.error.is_unknown(), "the first error is that of the fourth item");
    let [(5, id)] = *failed.unknown else { panic!("{:?} is not known", failed.unknown) };
    assert!(broker.stored().await.contains(&(5, id)));
    assert_eq!((&*failed.not_sent, failed.taken), (&[3][..], 8));
    let sent: Vec<_> = failed.sent.iter().map(|(position, _)| *position).collect();
    assert_eq!(sent, [0, 1, 2, 4, 6, 7]);
    let left = failed.not_sent.iter().copied().chain(failed.taken..accounts.len());
    pay.send_many_with(&broker, to_each(left.map(|position| accounts[position]))).await.unwrap();
    assert_eq!(broker.accounts().await, accounts);
}

#[tokio::test]
async fn an_item_that_is_stored_and_less_durable_than_it_should_be_is_named_and_not_sent_again() {
    let less = || BrokerError::stored("stored, not replicated");
    let broker = Failing::at([(2, less()), (3, BrokerError::busy("full")), (9, less())]);
    let accounts: Vec<u64> = (0..5).collect();
    let failed = pay.send_many_with(&broker, to_each(accounts.iter().copied())).await.unwrap_err();
    let [(2, id)] = *failed.unconfirmed else { panic!("{:?} is less durable", failed.unconfirmed) };
    assert!(broker.stored().await.contains(&(2, id)));
    assert!(failed.error.is_stored() && failed.error.message_id() == Some(id) && !failed.error.is_transient());
    assert!(failed.to_string().contains("after 4 messages were stored; of 0 more"), "{failed}");
    assert_eq!((&*failed.not_sent, failed.taken, failed.sent.len()), (&[3][..], 5, 3));
    pay.send_many_with(&broker, to_each([3])).await.unwrap();
    assert_eq!(broker.accounts().await, accounts);

    let message = pay.message(9, 0.5).durability(Durability::Replicated(1));
    let id = message.id();
    let error = message.send_with(&broker).await.unwrap_err();
    assert!(error.is_stored() && !error.is_unknown() && !error.is_transient() && error.message_id() == Some(id));
    assert_eq!(error.to_string(), "the message was stored, and is not as durable as it should be");
    assert!(broker.stored().await.contains(&(9, id)));
}

#[tokio::test]
async fn an_item_that_cannot_be_sent_is_the_last_of_those_that_were_not() {
    let broker = Failing::at([(1, BrokerError::unknown("no answer")), (2, BrokerError::refused("no"))]);
    let mut calls = [(0, 0.5), (1, 0.5), (2, 0.5), (3, f64::NAN), (4, 0.5)].into_iter();
    let failed = pay.send_many_with(&broker, calls.by_ref()).await.unwrap_err();
    assert_eq!((failed.sent.len(), failed.unknown.len()), (1, 1));
    assert_eq!((&*failed.not_sent, failed.taken), (&[2, 3][..], 4));
    assert_eq!(calls.next(), Some((4, 0.5)));
    let failed = pay.send_many_with(&broker, [(9, 0.5), (8, f64::NAN)]).await.unwrap_err();
    assert!(failed.error.is_invalid());
    assert_eq!((&*failed.not_sent, failed.taken), (&[1][..], 2));
}

#[actor(queue = "donations")]
async fn donate(account: u64) {
    let _ = account;
}

#[tokio::test]
async fn an_item_that_a_hook_refuses_is_not_sent_and_carries_what_hooks_set() {
    let count = AtomicUsize::new(0);
    actor_core::on_send(move |message| {
        if message.actor() != "donate" {
            return Ok(());
        }
        message.set_header("number", count.fetch_add(1, Ordering::Relaxed).to_string());
        if message.header("number") == Some("2") { Err("the box is full") } else { Ok(()) }
    });
    let broker = MemoryBroker::new();
    let failed = donate.send_many_with(&broker, 0..5).await.unwrap_err();
    assert!(failed.error.is_refused() && !failed.error.is_invalid() && !failed.error.is_transient());
    assert!(format!("{:?}", failed.error).ends_with("the box is full"), "{:?}", failed.error);
    assert_eq!((failed.sent.len(), &*failed.not_sent, failed.taken), (2, &[2][..], 3));
    let queue = "donations".parse().unwrap();
    let listing = broker.list(&queue, State::Ready, Page::first(10)).await.unwrap();
    let numbers: Vec<_> = listing.messages.iter().map(|listed| listed.message().unwrap()).collect();
    assert_eq!(numbers.iter().map(|message| message.header("number")).collect::<Vec<_>>(), [Some("0"), Some("1")]);
}
