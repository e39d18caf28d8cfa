//! How the lease of each queue was kept, and what others are granted for the time in which nobody could renew one.

use std::time::Duration;

use tokio::time::Instant;

use super::heartbeat::BEATS;
use crate::QueueName;

/// How much longer than this worker another may take to find the broker again: the longest pause between
/// two attempts.
const COMING_BACK: Duration = Duration::from_secs(1);

/// The time in which the broker could not be reached, as far as it matters: a lease of another worker that
/// ran out in it says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    away: Duration,
    until: Instant,
}

impl Grace {
    fn none(now: Instant) -> Self {
        Self { away: Duration::ZERO, until: now }
    }

    /// After a renewal that was answered at `now`, when the one before had been asked for at `renewed`.
    ///
    /// Another worker may have renewed a beat earlier than this one at the last, so that a lease which is
    /// prolonged by what the gap has beyond a beat ends a beat after it, or later.
    #[must_use]
    fn after(self, renewed: Instant, now: Instant, lease: Duration) -> Self {
        let (gap, beat) = (now - renewed, lease / BEATS);
        // A quarter more is what a busy broker takes to answer.
        if gap <= beat.mul_f64(1.25) {
            return self;
        }
        // After a lease, every worker that is alive has come back and renewed in time.
        Self { away: self.at(now) + gap - beat + COMING_BACK, until: now + lease + COMING_BACK }
    }

    pub(super) fn at(&self, now: Instant) -> Duration {
        if now < self.until { self.away } else { Duration::ZERO }
    }
}

/// A renewal that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub(super) asked: Instant,
    /// When the answer came.
    pub(super) now: Instant,
    pub(super) lease: Duration,
}

/// How a lease was kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// When it began, or was made again after the storage had lost it.
    pub(super) since: Instant,
    /// When its last renewal was asked for.
    pub(super) renewed: Instant,
    pub(super) grace: Grace,
}

impl Kept {
    /// A lease that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, renewed: now, grace: Grace::none(now) }
    }

    #[must_use]
    pub(super) fn after(self, beat: Beat) -> Self {
        let Beat { asked, now, lease } = beat;
        Self { renewed: asked, grace: self.grace.after(self.renewed, now, lease), ..self }
    }
}

/// Takes a renewal by what was `unanswered` of it, and by whose lease was `forgotten`. A queue stands apart from when its
/// storage was away until whoever lives has come back to it, and from when its storage had lost the lease until the new
/// one is a lease old. Else it goes by what the others have, which is `kept` until this renewal.
pub(super) fn set_apart(
    apart: &mut Vec<(QueueName, Kept)>,
    kept: Kept,
    unanswered: &[QueueName],
    forgotten: &[QueueName],
    beat: Beat,
) {
    let before = apart.len();
    for queue in unanswered.iter().chain(forgotten) {
        if !apart[..before].iter().any(|(known, _)| known == queue) {
            apart.push((queue.clone(), kept));
        }
    }
    for (queue, kept) in apart.iter_mut().filter(|(queue, _)| !unanswered.contains(queue)) {
        *kept = kept.after(beat);
        if forgotten.contains(queue) {
            kept.since = beat.asked;
        }
    }
    let Beat { now, lease, .. } = beat;
    apart.retain(|(queue, own)| {
        let is_new = kept.since < own.since && now < own.since + lease;
        unanswered.contains(queue) || is_new || now < own.grace.until
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    #[test]
    fn the_time_in_which_nobody_could_renew_is_granted_to_all_for_a_lease() {
        let second = Duration::from_secs(1);
        let renewed = Instant::now();
        let none = Grace::none(renewed);
        let on_time = none.after(renewed, renewed + LEASE / BEATS + second / 3, LEASE);
        assert_eq!(on_time.at(renewed), Duration::ZERO);
        // Shorter than a lease: that of who had renewed longest ago has ended all the same.
        let back = renewed + 5 * second;
        let granted = none.after(renewed, back, LEASE);
        assert_eq!(granted.at(back), 3 * second + COMING_BACK);
        assert_eq!(granted.at(back + LEASE + COMING_BACK), Duration::ZERO);
        let both = granted.after(back, back + 4 * second, LEASE);
        assert_eq!(both.at(back + 4 * second), 5 * second + 2 * COMING_BACK, "somebody may have missed both");
        let later = granted.after(back + LEASE, back + 2 * LEASE, LEASE);
        assert_eq!(later.at(back + 2 * LEASE), 4 * second + COMING_BACK);
    }

    #[test]
    fn a_queue_whose_storage_was_away_grants_the_time_of_its_own_absence() {
        let queue: QueueName = "mail".parse().expect("a name");
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let (mut kept, mut apart) = (Kept::new(begun), Vec::new());
        let mut renew = |seconds, unanswered: &[QueueName]| {
            let now = begun + seconds * second;
            let beat = Beat { asked: now, now, lease: LEASE };
            set_apart(&mut apart, kept, unanswered, &[], beat);
            kept = kept.after(beat);
            (kept.grace.at(now), apart.first().map(|(_, kept)| (kept.renewed, kept.grace.at(now))))
        };
        assert_eq!(renew(2, &[]), (Duration::ZERO, None));
        let away = [queue];
        for seconds in [4, 6, 8] {
            let before = Some((begun + 2 * second, Duration::ZERO));
            assert_eq!(renew(seconds, &away), (Duration::ZERO, before), "the others were renewed all the time");
        }
        // Eight seconds between two renewals, of which two are as always.
        assert_eq!(renew(10, &[]), (Duration::ZERO, Some((begun + 10 * second, 6 * second + COMING_BACK))));
        for seconds in [12, 14, 16] {
            assert_eq!(renew(seconds, &[]).1.map(|(_, grace)| grace), Some(6 * second + COMING_BACK));
        }
        assert_eq!(renew(18, &[]), (Duration::ZERO, None));
    }

    #[test]
    fn a_queue_whose_lease_was_forgotten_has_a_new_one_until_that_is_a_lease_old() {
        let queue: QueueName = "mail".parse().expect("a name");
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let (mut kept, mut apart) = (Kept::new(begun), Vec::new());
        let mut renew = |seconds, forgotten: &[QueueName]| {
            let now = begun + seconds * second;
            let beat = Beat { asked: now, now, lease: LEASE };
            set_apart(&mut apart, kept, &[], forgotten, beat);
            kept = kept.after(beat);
            assert_eq!(kept.since, begun, "that of the other queues goes on");
            apart.iter().map(|(queue, kept)| (queue.clone(), kept.since)).collect::<Vec<_>>()
        };
        assert_eq!(renew(2, &[]), []);
        let lost = [queue.clone()];
        assert_eq!(renew(4, &lost), [(queue.clone(), begun + 4 * second)]);
        assert_eq!(renew(6, &[]), [(queue.clone(), begun + 4 * second)]);
        assert_eq!(renew(8, &lost), [(queue.clone(), begun + 8 * second)]);
        for seconds in [10, 12, 13] {
            assert_eq!(renew(seconds, &[]), [(queue.clone(), begun + 8 * second)]);
        }
        assert_eq!(renew(14, &[]), []);
    }
}
