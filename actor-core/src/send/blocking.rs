//! Sending from sync code: a thread of the library's own drives what the caller waits for.

use std::io;
use std::sync::{OnceLock, mpsc};
use std::thread;

use tokio::runtime::{self, Handle};

use crate::BrokerError;

// Brokers keep connections on the runtime that made them, so it lasts as long as the process.
static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// Drives a future to its end, while the caller's thread waits.
pub(crate) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T, BrokerError> {
    let runtime = match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let started = start().map_err(|error| BrokerError::unavailable(NO_THREAD).caused_by(error))?;
            // Another caller may have been faster: this one's thread then has nothing to do.
            RUNTIME.get_or_init(|| started)
        }
    };
    let (answer, answered) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // An error would mean that the caller's thread had ended.
        let _ = answer.send(future.await);
    });
    answered.recv().map_err(|_| super::unanswered())
}

const NO_THREAD: &str = "the operating system refused the thread that sends for sync code";

fn start() -> io::Result<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let drive = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("actor-send".to_owned()).spawn(drive)?;
    Ok(handle)
}
