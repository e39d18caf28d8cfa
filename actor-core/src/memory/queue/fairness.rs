//! What each tenant of a fair queue gets, over hours of time that nobody waits for.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::delivery::Delivery;
use crate::{Key as LaneKey, Queue as Declared};

/// A queue and its workers, with a time of their own.
struct Town {
    queue: Queue,
    now: Moment,
    slots: usize,
    /// When what runs will have ended, and what it is.
    running: BTreeMap<(Moment, u64), (Delivery, usize, Duration)>,
    started: u64,
    worker: WorkerId,
    /// How long each tenant's messages have run.
    ran: HashMap<usize, Duration>,
    /// When each message was sent, and how long each waited, by tenant.
    waits: HashMap<usize, Vec<Duration>>,
    random: fastrand::Rng,
}

const MS: Duration = Duration::from_millis(1);

impl Town {
    fn new(slots: usize) -> Self {
        let mut queue = Queue::default();
        let worker = WorkerId::new("worker");
        queue.declare(&worker, *Declared::new("town").fair().limits());
        let (running, ran, waits) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let random = fastrand::Rng::with_seed(7);
        let now = Moment::default().after(Duration::from_secs(1_000));
        Self { queue, now, slots, running, started: 0, worker, ran, waits, random }
    }

    fn send(&mut self, tenant: usize) {
        let body = format!("{tenant} {}", self.now.0);
        let lane = Lane::new(LaneKey::new(format!("tenant {tenant}")).unwrap());
        let (priority, body, lane) = (Priority::Normal, body.into(), Some(lane));
        self.queue.store(Copied { priority, body, suspect: false, lane, held: None }, Duration::ZERO, self.now);
    }

    /// Fills the free slots, each with a run as long as its tenant's are. Returns whose messages were started.
    fn start(&mut self, run: impl Fn(usize, &mut fastrand::Rng) -> Duration) -> Vec<usize> {
        let mut started = Vec::new();
        self.queue.tick(self.now);
        let free = self.slots - self.running.len();
        for delivery in self.queue.claim(&self.worker, free, self.now) {
            let text = std::str::from_utf8(&delivery.body).unwrap();
            let (tenant, sent) = text.split_once(' ').unwrap();
            let (tenant, sent) = (tenant.parse().unwrap(), Moment(sent.parse().unwrap()));
            let run = run(tenant, &mut self.random);
            self.waits.entry(tenant).or_default().push(sent.until(self.now));
            self.started += 1;
            self.running.insert((self.now.after(run), self.started), (delivery, tenant, run));
            started.push(tenant);
        }
        started
    }

    /// Lets time pass until the next run ends, or until `latest`.
    fn pass(&mut self, latest: Moment) {
        let Some(next) = self.running.first_entry().filter(|next| next.key().0 <= latest) else {
            self.now = latest;
            return;
        };
        self.now = next.key().0;
        let (delivery, tenant, ran) = next.remove();
        *self.ran.entry(tenant).or_default() += ran;
        let settlement = Settlement { ran, ..Outcome::Done.into() };
        self.queue.settle(&self.worker, &delivery.receipt, &settlement, self.now);
    }
}

/// Jain's index: 1 where all have the same, and one of `n` where one has all.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

#[test]
fn a_thousand_tenants_share_the_time_of_the_workers_however_long_their_messages_run() {
    let tenants = 1_000;
    let mut town = Town::new(64);
    // From 2 ms to 200 ms, and none is the same as the one before.
    let run = |tenant: usize, random: &mut fastrand::Rng| MS * (2 + (tenant * 37 % 199) as u32) * random.u32(1..4) / 2;
    for tenant in 0..tenants {
        // One sends a hundred times as much as the others. All have something waiting all the time.
        for _ in 0..if tenant == 0 { 300 } else { 3 } {
            town.send(tenant);
        }
    }
    let end = town.now.after(Duration::from_secs(60));
    while town.now < end {
        for tenant in town.start(run) {
            town.send(tenant);
        }
        town.pass(end);
    }
    let shares: Vec<f64> =
        (0..tenants).map(|tenant| town.ran.get(&tenant).map_or(0.0, Duration::as_secs_f64)).collect();
    let index = jain(&shares);
    assert!(index >= 0.95, "Jain's index is {index:.4}");
    let most = shares.iter().copied().fold(0.0, f64::max);
    assert!((shares[0] - 3.84).abs() < 0.4, "the noisy one ran for {} s of 3.84, and one for {most}", shares[0]);
}

/// How long a tenant waits who sends one message a second, at most, in 95 of 100 cases.
fn quiet_wait(noisy: usize, run: impl Fn(usize, &mut fastrand::Rng) -> Duration, slots: usize) -> Duration {
    let quiet = usize::MAX;
    let mut town = Town::new(slots);
    // More than can be run.
    let waiting = if noisy == 1 { 100_000 } else { 1_100 * slots };
    for number in 0..waiting {
        town.send(number % noisy);
    }
    let mut due = town.now.after(MS * 500);
    let end = town.now.after(Duration::from_secs(100));
    while town.now < end {
        town.start(&run);
        town.pass(due);
        if town.now >= due {
            town.send(quiet);
            due = due.after(MS * 1_000 + MS * town.random.u32(0..50));
        }
    }
    let mut waits = town.waits.remove(&quiet).unwrap();
    assert!(waits.len() > 90, "only {} were started", waits.len());
    waits.sort();
    waits[waits.len() * 95 / 100]
}

#[test]
fn a_quiet_tenant_does_not_wait_for_what_a_noisy_one_has_waiting() {
    let one_run = MS * 100;
    let most = one_run * 2 + MS * 50;
    for (noisy, slots) in [(1, 10), (5, 10), (4, 1), (30, 30)] {
        let wait = quiet_wait(noisy, |_, _| one_run, slots);
        assert!(wait <= most, "{noisy} noisy ones, {slots} slots: {wait:?}");
        // As long on the average, and up to twice as long.
        let wait = quiet_wait(noisy, |_, random| MS * random.u32(1..200), slots);
        assert!(wait <= most, "{noisy} noisy ones, {slots} slots, runs of any length: {wait:?}");
    }
    // The quiet one's own runs are short, and each of the others' is long.
    let wait = quiet_wait(3, |tenant, _| if tenant == usize::MAX { MS } else { one_run }, 4);
    assert!(wait <= most, "{wait:?}");
}
