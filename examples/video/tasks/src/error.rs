//! Why a video could not be processed.

use std::io;

use uuid::Uuid;

/// Why a video could not be processed. Its text is kept with the message that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// No upload has this id.
    #[error("video {0} was never uploaded")]
    NotUploaded(Uuid),
    /// A file could not be read or written.
    // The cause is part of the text, since the text is all that is kept with the message.
    #[error("a file of video {video_id} could not be read or written: {cause}")]
    File {
        /// The video.
        video_id: Uuid,
        /// What the system said.
        cause: io::Error,
    },
}

impl VideoError {
    /// What a failure of reading or writing a video's files means.
    #[must_use]
    pub fn file(video_id: Uuid, cause: io::Error) -> Self {
        Self::File { video_id, cause }
    }
}
