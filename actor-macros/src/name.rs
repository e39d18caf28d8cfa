//! Checks the names of actors and queues, by the same rule as `actor_core::QueueName`.

/// Checks a name. The error says what to write.
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

/// A Rust identifier that no two actor names share. The compiler shows it if two actors have one name,
/// so it says what to do.
pub(crate) fn guard(name: &str) -> String {
    let odd: String = name
        .char_indices()
        .filter(|(_, c)| !is_plain(*c))
        .map(|(at, c)| format!("{}{at}_", if c == '-' { "dash" } else { "dot" }))
        .collect();
    let (with, plain) = (if odd.is_empty() { "" } else { "with_" }, name.replace(|c| !is_plain(c), "_"));
    format!("__two_actors_{with}{odd}named_{plain}__set_the_option_name_on_one")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_have_different_guards() {
        let names = ["a_b", "a-b", "a.b", "a__b", "a_-b", "a-_b", "with_dash1_named_a_b"];
        for one in names {
            for other in names {
                assert_eq!(guard(one) == guard(other), one == other, "{one} and {other}");
            }
        }
        assert_eq!(guard("pay"), "__two_actors_named_pay__set_the_option_name_on_one");
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
