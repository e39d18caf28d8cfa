//! What processing a video finds out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What processing a video finds out: what the actor returns, what the worker writes as JSON, and
/// what the API shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The video.
    pub video_id: Uuid,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its poster's file name, in the directory of uploads.
    pub poster: String,
}
