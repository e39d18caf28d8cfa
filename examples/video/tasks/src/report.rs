//! The result of processing a video.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The result of processing a video. The actor returns it, the worker writes it as JSON, and the API
/// shows it.
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
