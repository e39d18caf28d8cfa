//! The worker: it runs the messages that the API sends. Start as many as you need.

mod domain {
    mod poster;
    pub(crate) mod video_processor;
}
mod settings;
mod tasks;

use std::error::Error;
use std::process::ExitCode;

use actor_core::{Signals, Worker};
use actor_redis::RedisBroker;
use tracing_subscriber::EnvFilter;

use crate::domain::video_processor::VideoProcessor;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &*error, "the worker ended");
            ExitCode::FAILURE
        }
    }
}

/// Works until SIGTERM or SIGINT.
async fn run() -> Result<(), Box<dyn Error>> {
    // First: a container's first process ignores a signal that nobody listens for.
    let signals = Signals::listen()?;
    let settings = Settings::from_env()?;
    let processor = VideoProcessor::new(settings.uploads, settings.slowdown);
    let broker = RedisBroker::connect(&settings.redis_url).await?;
    Worker::builder(broker).state(processor).concurrency(settings.concurrency.get()).signals(signals).run().await?;
    Ok(())
}
