//! Reads durations such as `250ms`, `30s`, `1h30m` and `7d`.

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration, in milliseconds. The error says what to write.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let refuse = || {
        format!(
            "`{text}` is not a duration: write integers, each with its unit ms, s, m, h or d, as in \"30s\" or \"1h30m\""
        )
    };
    let (mut rest, mut total, mut larger) = (text, 0_u64, u64::MAX);
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let Some((_, ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(refuse());
        };
        if number.is_empty() {
            return Err(refuse());
        }
        if *ms >= larger {
            return Err(format!(
                "`{text}` is not a duration: write each unit once, the largest first, as in \"1h30m\""
            ));
        }
        larger = *ms;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*ms));
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long for a duration"))?;
        rest = after;
    }
    Ok(total)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_in_milliseconds() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        for text in ["", "30", "s", "30 s", "1.5h", "-1s", "30sec", "30S", "10m ", "1w"] {
            assert!(parse(text).unwrap_err().contains("each with its unit"), "{text:?}");
        }
        for text in ["30m1h", "1s1s", "1ms1s"] {
            assert!(parse(text).unwrap_err().contains("the largest first"), "{text:?}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d", "213503982334d18446744073709551615ms"] {
            assert!(parse(text).unwrap_err().contains("too long"), "{text:?}");
        }
    }
}
