//! `GET /health`: whether the API would accept an upload now.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::Services;
use crate::problem::Problem;

/// The queue's numbers.
#[derive(Serialize)]
pub(crate) struct Health {
    ready: u64,
    in_flight: u64,
    scheduled: u64,
    dead: u64,
}

/// Answers with the queue's counts.
pub(crate) async fn health(State(services): State<Services>) -> Result<Json<Health>, Problem> {
    let counts = services.queue.counts().await.map_err(|error| Problem::unhealthy(&error))?;
    Ok(Json(Health {
        ready: counts.ready,
        in_flight: counts.in_flight,
        scheduled: counts.scheduled,
        dead: counts.dead,
    }))
}
