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
            redis_url: read("REDIS_URL", || "redis://127.0.0.1:6379".to_owned())?,
            uploads: Uploads::new(read("UPLOADS", || "uploads".to_owned())?),
            concurrency: read("CONCURRENCY", || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))?,
            slowdown: Duration::from_millis(read("SLOWDOWN_MS", || 0)?),
        })
    }
}

fn read<T: FromStr>(name: &str, default: impl FnOnce() -> T) -> Result<T, String> {
    match env::var(name) {
        // The text itself is left out: a URL may hold a password.
        Ok(text) => text.parse().map_err(|_| format!("{name} is not a {}", std::any::type_name::<T>())),
        Err(VarError::NotPresent) => Ok(default()),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}
