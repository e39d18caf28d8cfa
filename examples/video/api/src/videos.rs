//! `POST /videos` and `GET /videos/{id}`.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;
use video_tasks::Report;

use crate::Services;
use crate::adapters::storage::Status;
use crate::problem::Problem;

/// The answer to an upload.
#[derive(Serialize)]
pub(crate) struct Accepted {
    video_id: Uuid,
    message_id: String,
}

/// How far a video is.
#[derive(Serialize)]
pub(crate) struct Video {
    video_id: Uuid,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
}

/// Stores the request's body as a video, and sends the message that has a worker process it.
pub(crate) async fn upload(
    State(services): State<Services>,
    body: Body,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let video_id = Uuid::now_v7();
    services.storage.store(video_id, body).await?;
    match services.queue.enqueue_video_processing(video_id).await {
        Ok(message_id) => {
            let message_id = message_id.to_string();
            Ok((StatusCode::ACCEPTED, Json(Accepted { video_id, message_id })))
        }
        Err(error) => {
            // A message that may be stored may run, and needs its upload.
            if !error.is_unknown() && !error.is_stored() {
                services.storage.remove(video_id).await;
            }
            Err(Problem::not_sent(video_id, &error))
        }
    }
}

/// Says how far a video is.
pub(crate) async fn status(
    State(services): State<Services>,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Video>, Problem> {
    let Path(video_id) = id?;
    let (status, report) = match services.storage.status(video_id).await? {
        Status::Done(report) => ("done", Some(report)),
        Status::Processing => ("processing", None),
        Status::Unknown => return Err(Problem::no_such_video(video_id)),
    };
    Ok(Json(Video { video_id, status, report }))
}
