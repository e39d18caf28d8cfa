//! The API's adapter to the uploads: it stores videos and reads the workers' reports.

use std::io;
use std::path::PathBuf;

use actor_core::MessageId;
use axum::body::Body;
use http_body_util::BodyExt;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;
use video_tasks::{Report, Uploads};

/// The directory of uploads.
#[derive(Clone)]
pub(crate) struct Storage {
    uploads: Uploads,
    max_bytes: u64,
}

/// Why an upload was not stored. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the upload is empty: send the video as the request's body")]
    Empty,
    #[error("the upload is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the upload ended early")]
    Interrupted(#[source] axum::Error),
    #[error("the upload could not be written")]
    Write(#[from] io::Error),
}

/// How far a video is.
pub(crate) enum Status {
    Unknown,
    Processing,
    Done(Report),
}

impl Storage {
    /// The uploads of a directory, which is made where it is missing.
    pub(crate) fn open(uploads: Uploads, max_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(uploads.directory())?;
        Ok(Self { uploads, max_bytes })
    }

    /// Stores an upload piece by piece, so that it needs no memory of its size.
    pub(crate) async fn store(&self, video_id: Uuid, mut body: Body) -> Result<(), StoreError> {
        let partial = Partial(self.uploads.video(video_id).with_extension("part"));
        let mut file = File::create(&partial.0).await?;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(StoreError::Interrupted)?.into_data() else { continue };
            bytes += piece.len() as u64;
            if bytes > self.max_bytes {
                return Err(StoreError::TooLarge(self.max_bytes));
            }
            file.write_all(&piece).await?;
        }
        if bytes == 0 {
            return Err(StoreError::Empty);
        }
        // The message is sent next: its file must be on disk by then.
        file.sync_all().await?;
        fs::rename(&partial.0, self.uploads.video(video_id)).await?;
        Ok(())
    }

    /// Removes an upload that nobody will process.
    pub(crate) async fn remove(&self, video_id: Uuid) {
        if let Err(error) = fs::remove_file(self.uploads.video(video_id)).await {
            tracing::warn!(%video_id, %error, "an upload was left behind");
        }
    }

    /// Notes which message has a video processed.
    pub(crate) async fn note_message(&self, video_id: Uuid, message_id: MessageId) {
        if let Err(error) = fs::write(self.uploads.message(video_id), message_id.to_string()).await {
            tracing::warn!(%video_id, %error, "the video's progress will not be shown");
        }
    }

    /// Which message has a video processed, where that was noted.
    pub(crate) async fn message(&self, video_id: Uuid) -> Option<MessageId> {
        fs::read_to_string(self.uploads.message(video_id)).await.ok()?.parse().ok()
    }

    /// How far a video is, by its files.
    pub(crate) async fn status(&self, video_id: Uuid) -> io::Result<Status> {
        match fs::read(self.uploads.report(video_id)).await {
            Ok(report) => Ok(Status::Done(serde_json::from_slice(&report)?)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if fs::try_exists(self.uploads.video(video_id)).await? => Ok(Status::Processing),
            Err(_) => Ok(Status::Unknown),
        }
    }
}

/// The file of an upload that is not complete. It goes when the upload does.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // A complete upload has another name by now.
        let _ = std::fs::remove_file(&self.0);
    }
}
