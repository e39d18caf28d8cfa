//! The worker's settings, all from the environment.

use std::env::{self, VarError};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use video_tasks::Uploads;

/// What the environment says, or the default of each.
pub(crate) struct Settings {
    /// `REDIS_URL`. Default: `redis://127.0.0.1:6379`.
    pub(crate) redis_url: String,
    /// `UPLOADS`: the directory that the API writes to. Default: `uploads`.
    pub(crate) uploads: Uploads,
    /// `CONCURRENCY`: how many videos at once. Default: one for each core, since the work computes.
    pub(crate) concurrency: NonZeroUsize,
    /// `SLOWDOWN_MS`: how much longer each video takes, so that a person can watch. Default: 0.
    pub(crate) slowdown: Duration,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        Ok(Self {
            redis_url: read("REDIS_URL", "a URL", || "redis://127.0.0.1:6379".to_owned())?,
            uploads: Uploads::new(read("UPLOADS", "a directory", || "uploads".to_owned())?),
            concurrency: read("CONCURRENCY", "a number from 1", || {
                thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
            })?,
            slowdown: Duration::from_millis(read("SLOWDOWN_MS", "a number of milliseconds", || 0)?),
        })
    }
}

fn read<T: FromStr>(name: &str, what: &str, default: impl FnOnce() -> T) -> Result<T, String> {
    // The text itself is not shown: a URL may hold a password.
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} must be {what}")),
        Err(VarError::NotPresent) => Ok(default()),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} must be UTF-8")),
    }
}
