use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(seconds: u64) -> Moment {
    Moment::default().after(Duration::from_secs(seconds))
}

fn copy(body: &'static str, priority: Priority) -> Copied {
    Copied { priority, body: body.into(), suspect: false, lane: None, held: None }
}

fn enqueue(queue: &mut Queue, body: &'static str, priority: Priority, delay: u64, now: u64) {
    queue.tick(at(now));
    queue.store(copy(body, priority), Duration::from_secs(delay), at(now));
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| std::str::from_utf8(&delivery.body).unwrap()).collect()
}

fn dead_letter(queue: &mut Queue, body: &'static str, now: Moment) {
    let worker = WorkerId::new("w");
    queue.store(copy(body, Priority::Normal), Duration::ZERO, now);
    let delivery = queue.claim(&worker, 1, now).pop().unwrap();
    let dead_letter = Outcome::DeadLetter { id: None, body: delivery.body, reason: "for a test".to_owned() }.into();
    assert_eq!(queue.settle(&worker, &delivery.receipt, &dead_letter, now), Settled::Applied);
}

#[test]
fn a_message_takes_its_place_by_the_time_it_became_ready() {
    let mut queue = Queue::default();
    enqueue(&mut queue, "due at 20", Priority::Normal, 20, 0);
    enqueue(&mut queue, "due at 10", Priority::Normal, 10, 0);
    enqueue(&mut queue, "ready at 15", Priority::Normal, 0, 15);
    enqueue(&mut queue, "high, due at 20", Priority::High, 20, 0);
    let worker = WorkerId::new("w");
    queue.tick(at(19));
    assert_eq!(queue.next_due(), Some(at(20)));
    queue.tick(at(20));
    let in_flight = queue.claim(&worker, 10, at(20));
    assert_eq!(bodies(&in_flight), ["high, due at 20", "due at 10", "ready at 15", "due at 20"]);
}

#[test]
fn dead_letters_end_after_a_week() {
    let mut queue = Queue::default();
    dead_letter(&mut queue, "old", at(0));
    dead_letter(&mut queue, "newer", at(0).after(DAY));
    queue.tick(at(0).after(DAY * 7));
    assert_eq!(queue.dead.values().map(|dead| &dead.body).collect::<Vec<_>>(), ["newer"]);
}

#[test]
fn a_key_reads_as_it_is_written() {
    let key = Key { rank: u64::MAX, number: 7 };
    assert_eq!(key.to_string().parse(), Ok(key));
    for wrong in ["", "7", "7-", "-7", "a-b", "1-2-3"] {
        assert_eq!(wrong.parse::<Key>(), Err(()), "{wrong:?} was taken for a key");
    }
}
