//! Guesses which word a misspelt one was meant to be.

/// The word that is most similar to `given`, if any is similar.
pub(crate) fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    words
        .into_iter()
        .map(|word| (distance(given, word), word))
        .filter(|(distance, word)| *distance <= word.len().max(given.len()) / 3 || is_part(given, word))
        .min()
        .map(|(_, word)| word)
}

/// Whether one contains the other: `retries` in `max_retries`, `queue` in `queue_name`, `que` in `queue`.
fn is_part(given: &str, word: &str) -> bool {
    given.len() > 2 && word.starts_with(given) || given.len() > 3 && (word.contains(given) || given.contains(word))
}

/// The Levenshtein distance: how many characters to insert, delete or replace.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_slip_is_found_and_another_word_is_not() {
        let words = ["queue", "name", "max_retries", "time_limit", "max_age", "retry_if"];
        for (given, meant) in [
            ("quue", Some("queue")),
            ("queue_name", Some("queue")),
            ("que", Some("queue")),
            ("retries", Some("max_retries")),
            ("max_retry", Some("max_retries")),
            ("timelimit", Some("time_limit")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, words), meant, "{given}");
        }
    }
}
