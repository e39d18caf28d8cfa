//! Ticks over the changes of clocks.

use super::*;

fn timing(pattern: &str, timezone: &str) -> Timing {
    let (pattern, timezone) = (pattern.to_owned(), timezone.to_owned());
    Timing::read(&Written { pattern, timezone, jitter_ms: 0 }).unwrap()
}

fn ms(text: &str) -> u64 {
    u64::try_from(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()).unwrap()
}

/// So many ticks after a time, in the zone's own time.
fn ticks(pattern: &str, timezone: &str, after: &str, count: usize) -> Vec<String> {
    let timing = timing(pattern, timezone);
    let mut last = ms(after);
    let next = || {
        last = timing.next(last)?;
        let instant = DateTime::<Utc>::from_timestamp_millis(i64::try_from(last).unwrap())?;
        Some(instant.with_timezone(&timing.zone).to_string().split_off("2026-03-".len()))
    };
    std::iter::from_fn(next).take(count).collect()
}

const BERLIN: &str = "Europe/Berlin";
/// Clocks go from 2:00 to 3:00 an hour later than this.
const SPRING: &str = "2026-03-29T00:00:00Z";
/// Clocks go from 3:00 back to 2:00 an hour later than this.
const AUTUMN: &str = "2026-10-25T00:00:00Z";

#[test]
fn a_tick_that_does_not_exist_is_the_next_instant() {
    assert_eq!(ticks("30 2 * * *", BERLIN, SPRING, 2), ["29 03:00:00 CEST", "30 02:30:00 CEST"]);
    assert_eq!(
        ticks("0,30 2,14 * * *", BERLIN, SPRING, 3),
        ["29 03:00:00 CEST", "29 14:00:00 CEST", "29 14:30:00 CEST"]
    );
    assert_eq!(ticks("0 */2 * * *", BERLIN, SPRING, 2), ["29 03:00:00 CEST", "29 04:00:00 CEST"]);
}

#[test]
fn a_tick_that_exists_twice_is_the_first() {
    assert_eq!(ticks("30 2 * * *", BERLIN, AUTUMN, 2), ["25 02:30:00 CEST", "26 02:30:00 CET"]);
    assert_eq!(ticks("0,30 2-3 * * *", BERLIN, AUTUMN, 3), ["25 02:30:00 CEST", "25 03:00:00 CET", "25 03:30:00 CET"]);
    // Asked in the second hour.
    assert_eq!(ticks("30 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1), ["26 02:30:00 CET"]);
}

#[test]
fn a_pattern_of_every_hour_goes_by_elapsed_time() {
    for (from, pattern, step) in
        [(SPRING, "*/20 * * * *", 20), (AUTUMN, "*/20 * * * *", 20), (AUTUMN, "15 0-23 * * *", 60)]
    {
        let (timing, mut last) = (timing(pattern, BERLIN), ms(from));
        last = timing.next(last).unwrap();
        for _ in 0..12 {
            let next = timing.next(last).unwrap();
            assert_eq!(next - last, step * 60_000, "{pattern} after {from}");
            last = next;
        }
    }
}

#[test]
fn zones_with_other_changes_have_the_same_rules() {
    // Half an hour is skipped.
    let lord_howe = ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z", 2);
    assert_eq!(lord_howe, ["04 02:30:00 +11", "05 02:15:00 +11"]);
    // A whole day was.
    assert_eq!(ticks("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1), ["31 00:00:00 +14"]);
}

#[test]
fn seconds_and_a_fraction_after_them_lose_no_tick() {
    let every_second = timing("* * * * * *", "UTC");
    assert_eq!(every_second.next(1_000), Some(2_000));
    assert_eq!(every_second.next(1_999), Some(2_000));
    assert_eq!(timing("0 0 1 1 *", "UTC").next(0), Some(365 * 86_400_000));
}

#[test]
fn a_pattern_that_never_matches_has_no_tick() {
    assert_eq!(timing("0 0 30 2 *", BERLIN).next(ms(SPRING)), None);
    assert_eq!(timing("0 0 0 1 1 * 2020", BERLIN).next(ms(SPRING)), None);
}

#[test]
fn jitter_is_the_same_for_all_and_different_for_each_tick() {
    let jittered = Timing { jitter_ms: 30_000, ..timing("* * * * *", "UTC") };
    let spread: Vec<u64> = (0..200).map(|tick| jittered.due("report:42", tick * 60_000) - tick * 60_000).collect();
    assert!(spread.iter().all(|ms| *ms < 30_000));
    assert!(spread.iter().min() < Some(&3_000) && spread.iter().max() > Some(&27_000), "{spread:?}");
    assert_eq!(jittered.due("report:42", 60_000), jittered.due("report:42", 60_000));
    assert_ne!(jittered.due("report:42", 60_000), jittered.due("report:43", 60_000));
}

#[test]
fn what_cannot_be_read_says_why() {
    let why = |pattern: &str, timezone: &str| {
        let (pattern, timezone) = (pattern.to_owned(), timezone.to_owned());
        Timing::read(&Written { pattern, timezone, jitter_ms: 0 }).unwrap_err().to_string()
    };
    assert!(why("61 * * * *", "UTC").starts_with("`61 * * * *` is not a pattern: "), "{}", why("61 * * * *", "UTC"));
    assert!(why("* * * * *", "Europe/Berlyn").contains("`Europe/Berlyn` is no time zone"));
}
