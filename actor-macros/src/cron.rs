//! Reads cron patterns and time zones, if the feature `cron` is on.

#[cfg(feature = "cron")]
pub(crate) use self::read::{pattern, timezone};

#[cfg(feature = "cron")]
mod read {
    use chrono::DateTime;
    use chrono_tz::Tz;
    use croner::Cron;

    use crate::nearest::nearest;

    /// Checks a pattern. The error is the pattern's own.
    pub(crate) fn pattern(text: &str) -> Result<(), String> {
        let cron: Cron = text.parse().map_err(|error| {
            format!(
                "`{text}` is not a cron pattern: {error}\nwrite five fields (minute, hour, day of the month, month, day of \
                 the week), or six with seconds before them"
            )
        })?;
        // What matches no time since 1970 matches none.
        match cron.find_next_occurrence(&DateTime::UNIX_EPOCH, true) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("no time matches `{text}`")),
        }
    }

    /// Checks the name of a time zone.
    pub(crate) fn timezone(text: &str) -> Result<(), String> {
        if text.parse::<Tz>().is_ok() {
            return Ok(());
        }
        let all = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = nearest(text, all).map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
        Err(format!(
            "`{text}` is no time zone of the IANA database{hint}\nwrite a name as in \"Europe/Berlin\", or \"UTC\""
        ))
    }
}

/// Says what to write in `Cargo.toml`.
#[cfg(not(feature = "cron"))]
pub(crate) fn pattern(_: &str) -> Result<(), String> {
    Err("schedules need the feature `cron` of actor-core: add it in Cargo.toml, as in `actor-core = { version = \"..\", \
         features = [\"cron\"] }`"
        .to_owned())
}

/// Nobody reads it without the feature, whose lack is reported for the pattern.
#[cfg(not(feature = "cron"))]
pub(crate) fn timezone(_: &str) -> Result<(), String> {
    Ok(())
}
