//! What an actor or a queue may be called. `actor_core::QueueName` obeys the same rule.

/// Says why `name` may name neither a queue nor an actor.
pub(crate) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name has at least one character".to_owned());
    }
    if name.len() > 128 {
        return Err(format!("a name has at most 128 bytes, this one has {}", name.len()));
    }
    match name.chars().find(|c| !is_plain(*c) && !matches!(c, '-' | '.')) {
        Some(odd) => Err(format!("{odd:?} cannot be in a name: write only `A-Z a-z 0-9 _ - .`")),
        None => Ok(()),
    }
}

/// A Rust identifier that no two actor names share.
pub(crate) fn guard(name: &str) -> String {
    let odd: String = name
        .char_indices()
        .filter(|(_, c)| !is_plain(*c))
        .map(|(at, c)| format!("{}{at}_", if c == '-' { "dash" } else { "dot" }))
        .collect();
    if odd.is_empty() {
        return format!("__actor_declared_twice_{name}");
    }
    let plain = name.replace(|c| !is_plain(c), "_");
    format!("__actor_with_{odd}declared_twice_{plain}")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_have_guards_that_differ() {
        let names = ["a_b", "a-b", "a.b", "a__b", "a_-b", "a-_b", "with_dash1_declared_twice_a_b"];
        for one in names {
            for other in names {
                assert_eq!(guard(one) == guard(other), one == other, "{one} and {other}");
            }
        }
        assert_eq!(guard("process_video"), "__actor_declared_twice_process_video");
    }

    #[test]
    fn a_name_that_could_break_a_storage_key_is_refused() {
        for odd in ["", "a b", "a{b}", "a:b", "a/b", "ü", "a\n", &"x".repeat(129)] {
            assert!(check(odd).is_err(), "{odd:?} was taken for a name");
        }
        assert_eq!(check("Video.processing-2"), Ok(()));
        assert_eq!(check(&"x".repeat(128)), Ok(()));
    }
}
