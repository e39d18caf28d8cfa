//! The API: it takes uploads over HTTP and sends messages. It compiles none of the worker's code.

mod adapters {
    pub(crate) mod queue;
    pub(crate) mod storage;
}
mod health;
mod problem;
mod settings;
mod videos;

use std::error::Error;
use std::process::ExitCode;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::adapters::queue::VideoQueue;
use crate::adapters::storage::Storage;
use crate::settings::Settings;

/// What every request may use.
#[derive(Clone)]
struct Services {
    queue: VideoQueue,
    storage: Storage,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &*error, "the API ended");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM or SIGINT, then finishes the requests that have begun.
async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let queue = VideoQueue::connect(&settings.redis_url)?;
    let storage = Storage::open(settings.uploads, settings.max_upload_bytes)?;
    let routes = Router::new()
        .route("/videos", post(videos::upload))
        .route("/videos/{id}", get(videos::status))
        .route("/health", get(health::health))
        .with_state(Services { queue, storage });
    let listener = TcpListener::bind(settings.listen).await?;
    let stop = stop_requested()?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Completes at the first SIGTERM or SIGINT. It listens from when it is called.
fn stop_requested() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
