//! The API's settings, all from the environment.

use std::env::{self, VarError};
use std::net::SocketAddr;
use std::str::FromStr;

use video_tasks::Uploads;

/// What the environment says, or the default of each.
pub(crate) struct Settings {
    /// `REDIS_URL`. Default: `redis://127.0.0.1:6379`.
    pub(crate) redis_url: String,
    /// `UPLOADS`: the directory that the workers share. Default: `uploads`.
    pub(crate) uploads: Uploads,
    /// `LISTEN`: the address to serve. Default: `127.0.0.1:8080`.
    pub(crate) listen: SocketAddr,
    /// `MAX_UPLOAD_BYTES`: the largest upload. Default: 64 MiB.
    pub(crate) max_upload_bytes: u64,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        Ok(Self {
            redis_url: read("REDIS_URL", "a URL", "redis://127.0.0.1:6379".to_owned())?,
            uploads: Uploads::new(read("UPLOADS", "a directory", "uploads".to_owned())?),
            listen: read("LISTEN", "an address and port, as in 127.0.0.1:8080", ([127, 0, 0, 1], 8080).into())?,
            max_upload_bytes: read("MAX_UPLOAD_BYTES", "a number of bytes", 64 << 20)?,
        })
    }
}

fn read<T: FromStr>(name: &str, what: &str, default: T) -> Result<T, String> {
    // The text itself is not shown: a URL may hold a password.
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} must be {what}")),
        Err(VarError::NotPresent) => Ok(default),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} must be UTF-8")),
    }
}
