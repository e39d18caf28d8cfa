//! `POST /videos` and `GET /videos/{id}`.

use actor_core::results::Status as MessageStatus;
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
#[derive(Default, Serialize)]
pub(crate) struct Video {
    video_id: Uuid,
    status: &'static str,
    /// What the worker said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    /// Why it failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
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
            services.storage.note_message(video_id, message_id).await;
            let message_id = message_id.to_string();
            Ok((StatusCode::ACCEPTED, Json(Accepted { video_id, message_id })))
        }
        Err(error) => {
            // A message that may be stored may run, and needs its upload.
            match error.message_id().filter(|_| error.is_unknown() || error.is_stored()) {
                Some(message_id) => services.storage.note_message(video_id, message_id).await,
                None => services.storage.remove(video_id).await,
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
    let video = match services.storage.status(video_id).await? {
        Status::Done(report) => Video { status: "done", report: Some(report), ..Video::default() },
        Status::Processing => by_its_message(&services, video_id).await,
        Status::Unknown => return Err(Problem::no_such_video(video_id)),
    };
    Ok(Json(Video { video_id, ..video }))
}

/// How far a video without a report is, as the queue knows it.
async fn by_its_message(services: &Services, video_id: Uuid) -> Video {
    let processing = Video { status: "processing", ..Video::default() };
    let Some(message_id) = services.storage.message(video_id).await else { return processing };
    match services.queue.status(message_id).await {
        Ok(MessageStatus::InFlight { progress, .. }) => {
            Video { progress: progress.map(|progress| progress.to_string()), ..processing }
        }
        Ok(MessageStatus::Failed { reason, .. }) => Video { status: "failed", error: Some(reason), ..Video::default() },
        Ok(MessageStatus::Cancelled) => Video { status: "cancelled", ..Video::default() },
        // The files are not where the worker wrote them, or not yet seen here.
        Ok(MessageStatus::Done { .. }) => match services.queue.report(message_id).await {
            Ok(report) => Video { status: "done", report: Some(report), ..Video::default() },
            Err(error) => {
                tracing::warn!(%video_id, %error, "the report cannot be read");
                processing
            }
        },
        Ok(_) => processing,
        // What the files say still holds.
        Err(error) => {
            tracing::warn!(%video_id, %error, "the queue does not say how far the video is");
            processing
        }
    }
}
