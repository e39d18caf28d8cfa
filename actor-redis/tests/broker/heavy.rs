use std::collections::BTreeMap;
use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::inspect::{Inspect, Page, State, Which};
use actor_core::settlement::{Outcome, Settlement};
use actor_core::{MessageId, Priority};
use actor_redis::RedisBroker;

use crate::server::{Server, claim, end_lease, message, queue, send, worker};

const HOUR: Duration = Duration::from_secs(3600);
/// The largest body that is taken by default.
const LARGEST: usize = 1 << 20;
/// More than any bound by number but those of a claim and a recovery.
const MANY: usize = 140;
/// How long one command may hold up all others.
const LONGEST_MS: f64 = 50.0;
/// A machine that is busy with something else makes any command long: a verb is judged by its best try.
const TRIES: usize = 3;

/// A message that is as large as it may be.
fn large(priority: Priority) -> Enqueue {
    let start = r#"{"v":1,"id":"01890000-0000-7000-8000-000000000000","actor":"a","queue":"mail","args":[""#;
    let body = format!("{start}{}\"]}}", "x".repeat(LARGEST - start.len() - 3));
    assert_eq!(body.len(), LARGEST);
    Enqueue::new(MessageId::new(), priority, body.into())
}

fn dead_letter(delivery: Delivery) -> (actor_core::delivery::Receipt, Settlement) {
    let Delivery { receipt, body, .. } = delivery;
    (receipt, Outcome::DeadLetter { id: Some(MessageId::new()), body, reason: "why".to_owned() }.into())
}

fn retry(delivery: Delivery) -> (actor_core::delivery::Receipt, Settlement) {
    let Delivery { receipt, body, .. } = delivery;
    (receipt, Outcome::Reschedule { id: MessageId::new(), priority: Priority::Normal, body, after: HOUR }.into())
}

/// A queue of the largest messages, and how long each verb's longest command took.
struct Heavy {
    server: Server,
    broker: RedisBroker,
    consumer: Consumer,
    took: BTreeMap<&'static str, (f64, String)>,
}

impl Heavy {
    async fn start() -> Self {
        let server = Server::with(&["--slowlog-log-slower-than", "500", "--slowlog-max-len", "100000"]);
        let broker = server.broker().await;
        let consumer = worker(&broker).await;
        Self { server, broker, consumer, took: BTreeMap::new() }
    }

    /// Does something, and notes its longest command.
    async fn time<T>(&mut self, verb: &'static str, work: impl AsyncFnOnce(&RedisBroker, &Consumer) -> T) -> T {
        let _: String = self.server.run("SLOWLOG RESET");
        let value = work(&self.broker, &self.consumer).await;
        let slow: Vec<(i64, i64, f64, Vec<String>)> = self
            .server
            .run::<Vec<redis::Value>>("SLOWLOG GET -1")
            .into_iter()
            .filter_map(|line| match line {
                redis::Value::Array(parts) => redis::from_redis_value(redis::Value::Array(parts[..4].to_vec())).ok(),
                _ => None,
            })
            .collect();
        let longest = slow.into_iter().map(|(_, _, us, words)| (us / 1_000.0, words[0].clone()));
        let longest = longest.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default();
        let before = self.took.entry(verb).or_default();
        if longest.0 > before.0 {
            *before = longest;
        }
        value
    }

    async fn fill(&mut self, of: impl Fn(usize) -> Enqueue) {
        send(&self.broker, (0..MANY).map(of).collect()).await;
    }

    /// Claims until nothing is left.
    async fn claim(&mut self, verb: &'static str) -> Vec<Delivery> {
        self.time(verb, async |broker, consumer| {
            let mut delivered = Vec::new();
            loop {
                let more = broker.claim(consumer, 512, &Wait::new(Duration::ZERO)).await.unwrap();
                if more.is_empty() {
                    return delivered;
                }
                delivered.extend(more);
            }
        })
        .await
    }

    async fn settle(
        &mut self,
        verb: &'static str,
        delivered: Vec<Delivery>,
        end: impl Fn(Delivery) -> (actor_core::delivery::Receipt, Settlement),
    ) {
        let settlements: Vec<_> = delivered.into_iter().map(end).collect();
        self.time(verb, async |broker, consumer| {
            for answer in broker.settle(consumer, &settlements).await {
                answer.unwrap();
            }
        })
        .await;
    }

    async fn list(&mut self, verb: &'static str, state: State) {
        self.time(verb, async |broker, _| {
            let mut page = Page::first(1_000);
            let mut count = 0;
            loop {
                let listing = broker.list(&queue(), state, page).await.unwrap();
                count += listing.messages.len();
                match listing.next {
                    Some(next) => page = Page::after(next, 1_000),
                    None => break,
                }
            }
            assert!(count >= MANY, "{verb}: {count}");
        })
        .await;
        self.time("counts", async |broker, _| broker.counts(&queue()).await.unwrap()).await;
        self.time("audit", async |broker, _| broker.audit(&queue(), 100_000).await.unwrap()).await;
    }

    async fn purge(&mut self, verb: &'static str, state: State) {
        let purged = self.time(verb, async |broker, _| broker.purge(&queue(), state).await.unwrap()).await;
        assert!(purged >= MANY as u64, "{verb}: {purged}");
    }

    async fn every_verb(&mut self) {
        self.ready().await;
        self.recovered().await;
        self.scheduled().await;
        self.dead().await;
    }

    async fn ready(&mut self) {
        let some = |number| large(if number % 3 == 0 { Priority::High } else { Priority::Normal });
        self.time("enqueue", async |broker, _| send(broker, (0..MANY).map(some).collect()).await).await;
        self.list("list ready messages", State::Ready).await;
        let delivered = self.claim("claim").await;
        assert_eq!(delivered.len(), MANY);
        self.list("list in-flight messages", State::InFlight).await;
        let release = |Delivery { receipt, body, .. }: Delivery| (receipt, Outcome::Release { body }.into());
        self.settle("release", delivered, release).await;
        self.list("list ready messages", State::Ready).await;
        let delivered = self.claim("claim").await;
        self.settle("done", delivered, |delivery| (delivery.receipt, Outcome::Done.into())).await;
        self.fill(|_| large(Priority::Low)).await;
        self.purge("purge ready messages", State::Ready).await;
    }

    /// What a dead worker held, what nobody holds, and what was delivered by an answer that was lost.
    async fn recovered(&mut self) {
        self.fill(|_| large(Priority::Normal)).await;
        let delivered = self.claim("claim").await;
        assert_eq!(delivered.len(), MANY);
        end_lease(&self.server, &self.consumer);
        for how in ["recover", "recover what nobody holds"] {
            self.consumer = worker(&self.broker).await;
            let recovered = self
                .time(how, async |broker, consumer| {
                    let mut count = 0;
                    while let more @ 1.. = broker.recover(consumer, 256, Duration::ZERO).await.unwrap().len() {
                        count += more;
                    }
                    count
                })
                .await;
            // What nobody holds is looked for at the beginning of a stream alone.
            assert!(recovered == MANY || (how != "recover" && recovered > 0), "{how}: {recovered}");
            let _: redis::Value = self
                .server
                .run(&format!("XGROUP DELCONSUMER {{actor:mail}}:ready:normal workers {}", self.consumer.worker));
        }
        let _: redis::Value = self.server.run("XTRIM {actor:mail}:ready:normal MAXLEN 0");
        self.consumer = worker(&self.broker).await;
        assert!(self.claim("claim").await.is_empty());
        self.fill(|_| large(Priority::Normal)).await;
        // What this reads for the worker never reaches it.
        let _: redis::Value = self
            .server
            .run(&format!("XREADGROUP GROUP workers {} STREAMS {{actor:mail}}:ready:normal >", self.consumer.worker));
        self.server.cut_all();
        let mut found = 0;
        while found < MANY {
            let claim = async |broker: &RedisBroker, consumer: &Consumer| {
                broker.claim(consumer, 512, &Wait::new(Duration::ZERO)).await
            };
            let delivered = self.time("find lost deliveries", claim).await.unwrap_or_default();
            found += delivered.len();
            self.settle("done", delivered, |delivery| (delivery.receipt, Outcome::Done.into())).await;
        }
    }

    async fn scheduled(&mut self) {
        let later = |_| large(Priority::Normal).after(HOUR);
        self.time("schedule", async |broker, _| send(broker, (0..MANY).map(later).collect()).await).await;
        self.list("list scheduled messages", State::Scheduled).await;
        let members: Vec<String> = self.server.run("ZRANGE {actor:mail}:scheduled 0 -1");
        for member in members {
            let _: i64 = self.server.run(&format!("ZADD {{actor:mail}}:scheduled 1 {member}"));
        }
        let delivered = self.promote("promote").await;
        self.settle("retry", delivered, retry).await;
        let _: i64 = self.server.run("DEL {actor:mail}:scheduled");
        self.repair().await;
        let delivered = self.promote("promote what was put back").await;
        self.settle("retry", delivered, retry).await;
        self.purge("purge scheduled messages", State::Scheduled).await;
    }

    /// Claims as workers do that look for themselves, until all are claimed.
    async fn promote(&mut self, verb: &'static str) -> Vec<Delivery> {
        let mut delivered = Vec::new();
        while delivered.len() < MANY {
            let one = worker(&self.broker).await;
            let broker = self.broker.clone();
            let more = async |_: &_, _: &_| broker.claim(&one, 512, &Wait::new(Duration::ZERO)).await.unwrap().len();
            while let 1.. = self.time(verb, more).await {}
            // The one worker of this test settles them all.
            end_lease(&self.server, &one);
            while let recovered @ [_, ..] =
                &mut *self.broker.recover(&self.consumer, 256, Duration::ZERO).await.unwrap()
            {
                delivered.extend(recovered.iter_mut().map(|one| Delivery::new(one.receipt.clone(), one.body.clone())));
            }
        }
        delivered
    }

    async fn dead(&mut self) {
        self.fill(|_| large(Priority::Normal)).await;
        let delivered = self.claim("claim").await;
        self.settle("dead-letter", delivered, dead_letter).await;
        self.list("list dead letters", State::Dead).await;
        let replay = async |broker: &RedisBroker, _: &_| broker.replay(&queue(), Which::All).await.unwrap();
        assert_eq!(self.time("replay", replay).await, MANY as u64);
        let mut delivered = self.claim("claim").await;
        assert_eq!(delivered.len(), MANY);
        let last = delivered.pop();
        self.settle("dead-letter", delivered, dead_letter).await;
        let _: i64 = self.server.run("DEL {actor:mail}:dead");
        self.repair().await;
        self.settle("dead-letter", last.into_iter().collect(), dead_letter).await;
        assert_eq!(self.server.run::<usize>("ZCARD {actor:mail}:dead"), MANY);
        while self.server.run::<usize>("ZCARD {actor:mail}:dead") > 1 {
            self.one_more_dies("dead-letter where too many are dead").await;
        }
        self.fill(|_| large(Priority::Normal)).await;
        let delivered = self.claim("claim").await;
        self.settle("dead-letter", delivered, dead_letter).await;
        self.purge("purge dead letters", State::Dead).await;
    }

    async fn repair(&mut self) {
        self.time("repair", async |broker, _| broker.repair(&queue()).await.unwrap()).await;
    }

    /// Where one dead letter is kept.
    async fn one_more_dies(&mut self, verb: &'static str) {
        let builder = RedisBroker::builder(&self.server.url()).unwrap().dead_letters(HOUR, std::num::NonZeroU64::MIN);
        let broker = builder.connect().await.unwrap();
        send(&broker, vec![large(Priority::Normal)]).await;
        let delivered = broker.claim(&self.consumer, 1, &Wait::new(Duration::ZERO)).await.unwrap();
        let settlements: Vec<_> = delivered.into_iter().map(dead_letter).collect();
        let settle = async |_: &_, consumer: &Consumer| broker.settle(consumer, &settlements).await;
        self.time(verb, settle).await.remove(0).unwrap();
    }
}

#[tokio::test]
#[allow(clippy::print_stdout)] // The table of docs/performance.md.
async fn no_command_holds_up_redis_where_all_messages_are_as_large_as_they_may_be() {
    let mut best: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    for _ in 0..TRIES {
        let mut heavy = Heavy::start().await;
        heavy.every_verb().await;
        for (verb, took) in heavy.took {
            let best = best.entry(verb).or_insert_with(|| took.clone());
            if took.0 < best.0 {
                *best = took;
            }
        }
        if best.values().all(|(ms, _)| *ms < LONGEST_MS) {
            break;
        }
    }
    let table: String =
        best.iter().map(|(verb, (ms, command))| format!("| {verb} | {ms:.1} ms | `{command}` |\n")).collect();
    println!("{table}");
    assert!(best.values().all(|(ms, _)| *ms < LONGEST_MS), "\n{table}");
}

/// Claims once, without waiting.
async fn claim_once(broker: &RedisBroker, consumer: &Consumer) -> usize {
    broker.claim(consumer, 512, &Wait::new(Duration::ZERO)).await.unwrap().len()
}

#[tokio::test]
async fn a_claim_of_large_messages_brings_few_and_one_of_small_ones_all_that_were_asked_for() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..1_200).map(|_| message("small")).collect()).await;
    assert_eq!(claim_once(&broker, &consumer).await, 512);
    assert_eq!(claim_once(&broker, &consumer).await, 512);
    assert_eq!(claim(&broker, &consumer, 176).await.len(), 176);
    let other = worker(&broker).await;
    send(&broker, (0..20).map(|_| large(Priority::Normal)).collect()).await;
    let first = claim_once(&broker, &other).await;
    assert!((1..=8).contains(&first), "{first}");
    for _ in first..20 {
        assert_eq!(claim_once(&broker, &other).await, 1);
    }
    assert_eq!(claim_once(&broker, &other).await, 0);
    // Small ones come in full again.
    send(&broker, (0..2_000).map(|_| message("small")).collect()).await;
    let mut claims = 0;
    while claim_once(&broker, &other).await > 0 {
        claims += 1;
    }
    assert!(claims < 20, "{claims}");
}

#[tokio::test]
async fn a_look_moves_and_a_recovery_takes_few_large_messages_and_the_next_the_others() {
    let server = Server::start();
    let broker = server.broker().await;
    let first = worker(&broker).await;
    send(&broker, (0..9).map(|_| large(Priority::Normal).after(Duration::from_millis(1))).collect()).await;
    let mut delivered = 0;
    while delivered < 9 {
        let claimed = broker.claim(&first, 512, &Wait::new(Duration::from_secs(30))).await.unwrap().len();
        assert!(claimed <= 2, "{claimed} were moved at once");
        delivered += claimed;
    }
    end_lease(&server, &first);
    let second = worker(&broker).await;
    let mut recovered = 0;
    while recovered < 9 {
        let taken = broker.recover(&second, 256, Duration::ZERO).await.unwrap().len();
        assert!((1..=2).contains(&taken), "{taken} were taken at once");
        recovered += taken;
    }
}
