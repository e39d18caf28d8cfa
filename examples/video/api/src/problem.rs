//! Every answer that is not a success: a status, and a JSON body that says what to do.

use std::error::Error;
use std::io;

use actor_core::{BrokerError, SendError};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::adapters::storage::StoreError;

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Value,
}

impl Problem {
    /// The upload is stored, and the message is not, or may not be.
    pub(crate) fn not_sent(video_id: Uuid, error: &SendError) -> Self {
        tracing::error!(%video_id, error = error as &dyn Error, "the message was not sent");
        let what = if error.is_stored() {
            "the queue has the message, and not as safely as it should: the video will be processed, so do not upload it \
             again"
        } else if error.is_unknown() {
            "the queue did not answer: the video may still be processed, so ask for its status before you upload \
             it again"
        } else if error.is_transient() {
            "the queue is down: the video was not accepted, so try again in a while"
        } else {
            "the queue refused the message: the video was not accepted"
        };
        let may_be_stored = error.is_unknown() || error.is_stored();
        let body = json!({ "error": what, "message_may_be_stored": may_be_stored, "video_id": video_id });
        let status =
            if error.is_transient() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self { status, body }
    }

    /// The queue cannot be asked.
    pub(crate) fn unhealthy(error: &BrokerError) -> Self {
        tracing::warn!(error = error as &dyn Error, "unhealthy");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the queue is down")
    }

    /// No video has this id.
    pub(crate) fn no_such_video(video_id: Uuid) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no video {video_id}"))
    }

    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": error.into() }) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Empty | StoreError::Interrupted(_) => StatusCode::BAD_REQUEST,
            StoreError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::Write(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "a video's id is a UUID")
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        // Which file it was is the log's business, not the client's.
        tracing::error!(%error, "a file could not be read or written");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a file could not be read or written")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
