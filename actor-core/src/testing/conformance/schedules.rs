//! Schedules are due, fire once, and are changed by people. For brokers that keep them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene, dead_lettered, retry};
use crate::broker::{Broker, Enqueue};
use crate::delivery::{Delivery, Wait};
use crate::inspect::{Inspect, Page, State};
use crate::schedule::{
    Change, Due, DueSchedule, Fired, Firing, ListedSchedule, NewSchedule, ScheduleState, Schedules, Then,
};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::{MessageId, Priority};

/// A storage may keep times in milliseconds.
const MS: Duration = Duration::from_millis(1);

impl<H: Harness> Scene<H> {
    fn schedules(&self) -> &dyn Schedules {
        self.broker.schedules().expect("this broker keeps schedules")
    }

    async fn upsert(&self, schedule: NewSchedule) {
        for answer in self.schedules().upsert(&self.queue, &[schedule]).await {
            answer.expect(REACHED);
        }
    }

    async fn due_within(&self, limit: Duration) -> Due {
        self.schedules().due(&self.queue, 10, &Wait::new(limit)).await.expect(REACHED)
    }

    async fn due_now(&self) -> Vec<DueSchedule> {
        self.due_within(Duration::ZERO).await.schedules
    }

    /// The one that is due.
    async fn one_due(&self) -> DueSchedule {
        let mut due = self.due_now().await;
        assert_eq!(due.len(), 1, "one schedule is due: {due:?}");
        due.remove(0)
    }

    async fn fire(&self, firing: &Firing) -> Fired {
        let mut answers = self.schedules().fire(&self.queue, std::slice::from_ref(firing)).await;
        answers.pop().expect("one firing gets one answer").expect(REACHED)
    }

    /// Stores a schedule and gives it a tick that is due.
    async fn due_schedule(&self, name: &str) -> DueSchedule {
        self.upsert(new(name)).await;
        let due = self.one_due().await;
        assert_eq!(self.fire(&Firing::new(&due, then(self.time().await))).await, Fired::Fired);
        self.one_due().await
    }

    /// The storage's time.
    async fn time(&self) -> SystemTime {
        self.schedules().due(&self.queue, 0, &Wait::new(Duration::ZERO)).await.expect(REACHED).now
    }

    async fn read(&self, name: &str) -> ListedSchedule {
        let found = self.schedules().read_schedule(&self.queue, name).await.expect(REACHED);
        found.expect("there is one of this name")
    }

    async fn change(&self, name: &str, change: Change) -> bool {
        self.schedules().change_schedule(&self.queue, name, change).await.expect(REACHED)
    }

    /// Fires a tick that is skipped while the last message is not settled; its message.
    async fn fire_alone(&self, due: &DueSchedule) -> (Fired, MessageId) {
        let (id, message) = message(Priority::Normal);
        let firing =
            Firing::new(due, then(self.time().await)).messages(vec![message], self.time().await).unless_unsettled();
        (self.fire(&firing).await, id)
    }

    /// The same again, for the tick after that.
    async fn fire_next_alone(&self) -> (Fired, MessageId) {
        self.advance(MS * 2).await;
        let due = self.one_due().await;
        self.fire_alone(&due).await
    }
}

fn new(name: &str) -> NewSchedule {
    NewSchedule::new(name, "every so often", Bytes::from_static(b"{}"))
}

/// A next tick, due at its time.
fn then(tick: SystemTime) -> Then {
    Then::Next { tick, due: tick }
}

fn message(priority: Priority) -> (MessageId, Enqueue) {
    let id = MessageId::new();
    (id, Enqueue::new(id, priority, body(id)))
}

fn body(id: MessageId) -> Bytes {
    format!(r#"{{"v":1,"id":"{id}","actor":"it","queue":"conformance","args":[]}}"#).into()
}

/// What ends a tick's message ends what waits for it.
fn ending(outcome: impl Into<Settlement>, id: MessageId) -> Settlement {
    let mut settlement = outcome.into();
    settlement.consequences.push(Consequence::EndTick(id));
    settlement
}

/// It waits for a worker to find its first tick.
pub async fn a_schedule_that_was_stored_is_due_at_once<H: Harness>(scene: Scene<H>) {
    assert!(!scene.due_within(Duration::ZERO).await.any);
    let before = scene.time().await;
    scene.upsert(new("report:42")).await;
    let due = scene.due_within(Duration::ZERO).await;
    assert!(due.any);
    let schedule = &due.schedules[0];
    assert_eq!((&*schedule.name, &*schedule.timing, &schedule.body[..]), ("report:42", "every so often", &b"{}"[..]));
    assert_eq!(schedule.tick, None);
    assert!(schedule.since >= before && schedule.since <= due.now, "{schedule:?}, now {:?}", due.now);
}

/// By the storage's clock.
pub async fn a_schedule_is_due_at_its_time_and_not_before<H: Harness>(scene: Scene<H>) {
    scene.upsert(new("it")).await;
    let due = scene.one_due().await;
    let tick = scene.time().await + DELAY;
    assert_eq!(scene.fire(&Firing::new(&due, then(tick))).await, Fired::Fired);
    assert!(scene.due_now().await.is_empty());
    let (due, ()) = tokio::join!(scene.due_within(HOUR), scene.advance(DELAY + MS));
    let now = due.now;
    let due = if due.schedules.is_empty() { scene.due_now().await } else { due.schedules };
    assert_eq!(due[0].tick, Some(tick));
    assert!(now >= tick, "it was due {:?} early", tick.duration_since(now));
}

/// Whoever waits for what is due waits for what comes.
pub async fn waiting_for_what_is_due_is_ended_by_a_new_schedule<H: Harness>(scene: Scene<H>) {
    let wait = async {
        loop {
            let due = scene.due_within(HOUR).await.schedules;
            if !due.is_empty() {
                return due;
            }
        }
    };
    let (due, ()) = tokio::join!(wait, scene.upsert(new("it")));
    assert_eq!(due[0].name, "it");
    let stopped = Wait::new(HOUR);
    let due = async { scene.schedules().due(&scene.queue, 0, &stopped).await.expect(REACHED) };
    stopped.stop();
    due.await;
}

/// However many fire it at once.
pub async fn a_tick_fires_once_whoever_fires_it<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let due = scene.due_schedule("it").await;
    let next = scene.time().await + HOUR;
    let fire = async |_: usize| {
        let (_, message) = message(Priority::Normal);
        scene.fire(&Firing::new(&due, then(next)).messages(vec![message], scene.time().await)).await
    };
    let (a, b, c, d, e) = tokio::join!(fire(1), fire(2), fire(3), fire(4), fire(5));
    let fired = [a, b, c, d, e].into_iter().filter(|fired| *fired == Fired::Fired).count();
    assert_eq!(fired, 1, "{:?}", [a, b, c, d, e]);
    scene.deliver(&worker, 1).await;
    scene.delivers_nothing(&worker).await;
}

/// A firing whose answer was lost may be repeated.
pub async fn firing_again_changes_nothing<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    let (id, first) = message(Priority::Normal);
    let tick = scene.time().await;
    let firing = Firing::new(&due, then(scene.time().await + HOUR)).messages(vec![first], tick);
    assert_eq!(scene.fire(&firing).await, Fired::Fired);
    assert_eq!(scene.fire(&firing).await, Fired::Stale);
    scene.counts([1, 0, 0, 0]).await;
    let listed = scene.read("it").await;
    assert_eq!((listed.last_message, listed.last_tick), (Some(id), Some(tick)));
}

/// Whatever a worker believes the time to be.
pub async fn what_is_not_due_does_not_fire<H: Harness>(scene: Scene<H>) {
    scene.upsert(new("it")).await;
    let due = scene.one_due().await;
    let tick = scene.time().await + HOUR;
    assert_eq!(scene.fire(&Firing::new(&due, then(tick))).await, Fired::Fired);
    let early = DueSchedule { tick: Some(tick), ..due };
    let firing = Firing::new(&early, then(tick + HOUR)).messages(vec![message(Priority::Normal).1], tick);
    assert_eq!(scene.fire(&firing).await, Fired::Stale);
    scene.counts([0, 0, 0, 0]).await;
    assert_eq!(scene.read("it").await.due, Some(tick));
}

/// They are ready at once, each of its priority, and wake a claim that waits.
pub async fn the_messages_of_a_tick_are_ready_in_their_priorities<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let due = scene.due_schedule("it").await;
    let (low, high) = (message(Priority::Low), message(Priority::High));
    let firing = Firing::new(&due, then(scene.time().await + HOUR)).messages(vec![low.1, high.1], scene.time().await);
    let (first, fired) = tokio::join!(scene.claim(&worker, 2), scene.fire(&firing));
    assert_eq!(fired, Fired::Fired);
    let mut delivered = first;
    if delivered.len() < 2 {
        delivered.extend(scene.deliver(&worker, 1).await);
    }
    assert_eq!(delivered.iter().map(|one| one.body.clone()).collect::<Vec<_>>(), [body(high.0), body(low.0)]);
}

/// A worker that read the former one is too late.
pub async fn a_schedule_that_was_replaced_does_not_fire_as_it_was<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    let firing = Firing::new(&due, then(scene.time().await + HOUR))
        .messages(vec![message(Priority::Normal).1], scene.time().await);
    let body = Bytes::from_static(b"another body");
    scene.upsert(NewSchedule { body: body.clone(), ..new("it") }).await;
    assert_eq!(scene.fire(&firing).await, Fired::Stale);
    let now = scene.one_due().await;
    assert_eq!((now.tick, now.body), (due.tick, body), "its next tick is as before");
    scene.upsert(NewSchedule { timing: "another".to_owned(), ..new("it") }).await;
    assert_eq!(scene.one_due().await.tick, None, "its ticks begin now");
    scene.counts([0, 0, 0, 0]).await;
}

/// As a program does at each start.
pub async fn storing_a_schedule_again_changes_nothing<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    scene.upsert(new("it")).await;
    let firing = Firing::new(&due, then(scene.time().await + HOUR))
        .messages(vec![message(Priority::Normal).1], scene.time().await);
    assert_eq!(scene.fire(&firing).await, Fired::Fired);
}

/// And what passed meanwhile is not caught up.
pub async fn a_paused_schedule_does_not_fire_until_it_is_resumed<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    assert!(scene.change("it", Change::Pause).await);
    assert_eq!(scene.read("it").await.state, ScheduleState::Paused);
    assert!(scene.due_now().await.is_empty());
    let firing = Firing::new(&due, then(scene.time().await + HOUR))
        .messages(vec![message(Priority::Normal).1], scene.time().await);
    assert_eq!(scene.fire(&firing).await, Fired::Stale);
    scene.upsert(new("it")).await;
    assert_eq!(scene.read("it").await.state, ScheduleState::Paused, "storing it does not resume it");
    let resumed = scene.time().await;
    assert!(scene.change("it", Change::Resume).await);
    assert_eq!(scene.read("it").await.state, ScheduleState::Active);
    let due = scene.one_due().await;
    assert!(due.tick.is_none() && due.since >= resumed, "{due:?}");
    assert!(!scene.change("another", Change::Pause).await);
}

/// For good.
pub async fn a_removed_schedule_is_gone<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    assert!(scene.change("it", Change::Remove).await);
    assert!(!scene.change("it", Change::Remove).await);
    assert!(scene.schedules().read_schedule(&scene.queue, "it").await.expect(REACHED).is_none());
    assert!(!scene.due_within(Duration::ZERO).await.any);
    scene.upsert(new("it")).await;
    let firing = Firing::new(&due, then(scene.time().await + HOUR))
        .messages(vec![message(Priority::Normal).1], scene.time().await);
    assert_eq!(scene.fire(&firing).await, Fired::Stale, "another of its name is another");
}

/// A person sees why; it is not tried again and again.
pub async fn a_parked_schedule_keeps_its_reason_until_it_is_stored_again<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    assert_eq!(scene.fire(&Firing::new(&due, Then::Park("it is \"odd\"".to_owned()))).await, Fired::Fired);
    assert_eq!(scene.read("it").await.state, ScheduleState::Parked("it is \"odd\"".to_owned()));
    assert!(scene.due_now().await.is_empty());
    scene.upsert(new("it")).await;
    assert_eq!(scene.read("it").await.state, ScheduleState::Active);
    let due = scene.one_due().await;
    assert_eq!(scene.fire(&Firing::new(&due, Then::Park("again".to_owned()))).await, Fired::Fired);
    assert!(scene.change("it", Change::Resume).await);
    assert_eq!(scene.one_due().await.tick, None);
}

/// Whether it waits, runs, or is to be retried.
pub async fn a_tick_passes_while_the_last_message_is_not_settled<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let due = scene.due_schedule("it").await;
    let (fired, id) = scene.fire_alone(&due).await;
    assert_eq!(fired, Fired::Fired);
    assert_eq!(scene.fire_next_alone().await.0, Fired::Skipped, "it is ready");
    let running = scene.claim_one(&worker).await;
    assert_eq!(scene.fire_next_alone().await.0, Fired::Skipped, "it runs");
    let again = Outcome::Reschedule { id, priority: Priority::Normal, body: body(id), after: DELAY };
    assert_eq!(scene.settle(&worker, &running, again.into()).await, Settled::Applied);
    assert_eq!(scene.fire_next_alone().await.0, Fired::Skipped, "it is scheduled");
    // Its worker settles late what it no longer holds.
    assert_eq!(scene.settle(&worker, &running, ending(Outcome::Done, id)).await, Settled::Stale);
    assert_eq!(scene.fire_next_alone().await.0, Fired::Skipped, "a stale settlement ends nothing");
    scene.advance(DELAY).await;
    let running = scene.claim_one(&worker).await;
    assert_eq!(scene.fire_next_alone().await.0, Fired::Skipped, "it runs again");
    assert_eq!(scene.read("it").await.last_message, Some(id));
    assert_eq!(scene.settle(&worker, &running, ending(Outcome::Done, id)).await, Settled::Applied);
    assert_eq!(scene.fire_next_alone().await.0, Fired::Fired, "it is done");
    scene.counts([1, 0, 0, 0]).await;
}

/// A dead letter waits for a person.
pub async fn a_dead_letter_holds_back_no_tick<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let due = scene.due_schedule("it").await;
    let (_, id) = scene.fire_alone(&due).await;
    let running = scene.claim_one(&worker).await;
    let dead = Outcome::DeadLetter { id: Some(id), body: body(id), reason: "it failed".to_owned() };
    assert_eq!(scene.settle(&worker, &running, ending(dead, id)).await, Settled::Applied);
    assert_eq!(scene.fire_next_alone().await.0, Fired::Fired);
}

/// Nobody settles it.
pub async fn a_message_that_was_deleted_holds_back_no_tick<H: Harness>(scene: Scene<H>) {
    let due = scene.due_schedule("it").await;
    scene.fire_alone(&due).await;
    let listed = scene.list(State::Ready).await.remove(0);
    assert!(scene.broker.delete(&scene.queue, State::Ready, &listed.handle).await.expect(REACHED));
    assert_eq!(scene.fire_next_alone().await.0, Fired::Fired);
}

/// Ends come in batches with others'.
pub async fn a_batch_ends_ticks_and_other_messages<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let due = scene.due_schedule("it").await;
    let (_, id) = scene.fire_alone(&due).await;
    let tick = scene.claim_one(&worker).await;
    let (done, failed) = (scene.hold_one(&worker, "done").await, scene.hold_one(&worker, "failed").await);
    let dead = scene.hold_one(&worker, "dead").await;
    let of = |delivery: &Delivery| delivery.receipt.clone();
    let ends = [
        (of(&failed), retry("failed", HOUR)),
        (of(&tick), ending(Outcome::Done, id)),
        (of(&dead), dead_lettered(dead.body.clone(), "it failed")),
        (of(&done), Outcome::Done.into()),
    ];
    assert_eq!(scene.settle_all(&worker, &ends).await, [Settled::Applied; 4]);
    scene.counts([0, 0, 1, 1]).await;
    assert_eq!(scene.fire_next_alone().await.0, Fired::Fired);
}

/// Each once, in their order.
pub async fn schedules_are_listed_by_name_in_pages<H: Harness>(scene: Scene<H>) {
    let names = ["b:2", "a", "c d", "b:1", "é"];
    let all = names.map(new);
    for answer in scene.schedules().upsert(&scene.queue, &all).await {
        answer.expect(REACHED);
    }
    let (mut listed, mut page) = (Vec::new(), Page::first(2));
    loop {
        let listing = scene.schedules().list_schedules(&scene.queue, page).await.expect(REACHED);
        assert!(listing.schedules.len() <= 2);
        listed.extend(listing.schedules);
        let Some(next) = listing.next else { break };
        page = Page::after(next, 2);
    }
    let found: Vec<_> = listed.iter().map(|schedule| &*schedule.name).collect();
    assert_eq!(found, ["a", "b:1", "b:2", "c d", "é"]);
    let one = &listed[0];
    assert_eq!((&one.state, one.declared, one.due, one.last_message), (&ScheduleState::Active, false, None, None));
    assert_eq!((&*one.timing, &one.body[..]), ("every so often", &b"{}"[..]));
}

/// By what workers declare when they start.
pub async fn a_declared_schedule_is_replaced_at_a_start_and_kept_between<H: Harness>(scene: Scene<H>) {
    let declare = async |body: &'static str, begins| {
        let new = NewSchedule { body: Bytes::from_static(body.as_bytes()), ..new("it") };
        scene.schedules().declare(&scene.queue, &[new], begins).await.expect(REACHED);
    };
    declare("old", true).await;
    assert!(scene.read("it").await.declared);
    declare("new", true).await;
    assert_eq!(scene.read("it").await.body, "new", "the newest start counts");
    declare("old", false).await;
    assert_eq!(scene.read("it").await.body, "new", "an older worker says it again");
    assert!(scene.change("it", Change::Remove).await);
    declare("old", false).await;
    assert_eq!(scene.read("it").await.body, "old", "it was lost");
    let refused = scene.schedules().upsert(&scene.queue, &[new("it")]).await.remove(0);
    assert!(refused.is_err_and(|error| error.to_string().contains("declares")), "an actor declares it");
}
