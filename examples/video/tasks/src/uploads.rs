//! The paths of a video's files, in a directory that the API and the worker share.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The directory of uploads, and the name of each file in it.
#[derive(Clone, Debug)]
pub struct Uploads(PathBuf);

impl Uploads {
    /// The uploads in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The upload. The API writes it.
    #[must_use]
    pub fn video(&self, video_id: Uuid) -> PathBuf {
        self.0.join(format!("{video_id}.video"))
    }

    /// The id of the message that has the video processed. The API writes it once the message is sent.
    #[must_use]
    pub fn message(&self, video_id: Uuid) -> PathBuf {
        self.0.join(format!("{video_id}.message"))
    }

    /// The poster's file name.
    #[must_use]
    pub fn poster_name(&self, video_id: Uuid) -> String {
        format!("{video_id}.png")
    }

    /// The poster. The worker writes it.
    #[must_use]
    pub fn poster(&self, video_id: Uuid) -> PathBuf {
        self.0.join(self.poster_name(video_id))
    }

    /// The report. The worker writes it last: where it is, the work is done.
    #[must_use]
    pub fn report(&self, video_id: Uuid) -> PathBuf {
        self.0.join(format!("{video_id}.json"))
    }
}
