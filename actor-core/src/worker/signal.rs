//! What asks a program to stop.

use std::io;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long after the first signal a second one counts. Platforms and process managers send two at once.
const ONE_STOP: Duration = Duration::from_secs(1);

/// The signals that ask a worker to stop, listened for from now on: SIGTERM and SIGINT (Ctrl-C elsewhere).
///
/// [`WorkerBuilder::run`](crate::WorkerBuilder::run) listens by itself, from its beginning. A process whose id is 1, as
/// in most containers, ignores a signal that comes before: it has no default action. So listen first, and
/// give the signals to the worker.
///
/// ```no_run
/// use actor_core::{MemoryBroker, Signals, Worker};
///
/// # async fn connect() -> std::io::Result<MemoryBroker> { Ok(MemoryBroker::new()) }
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let signals = Signals::listen()?;
///     let broker = connect().await?; // However long this takes.
///     Worker::builder(broker).signals(signals).run().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

impl Signals {
    /// Listens from now on. From then on these signals no longer end the process by themselves.
    ///
    /// # Errors
    ///
    /// The operating system refused, or this is no tokio runtime with its I/O driver enabled.
    pub fn listen() -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        }
        #[cfg(windows)]
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    /// Completes at the first signal since it began to listen.
    async fn first(mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(windows)]
        self.interrupt.recv().await;
    }
}

/// Completes when the worker is asked to stop.
pub(crate) async fn stop_requested(signals: io::Result<Signals>) {
    match signals {
        Ok(signals) => signals.first().await,
        // A worker that nobody can ask to stop works on.
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals: stop this worker by ending its process");
            std::future::pending::<()>().await;
        }
    }
}

/// Completes when the worker is asked a second time. It is polled from the first time on.
pub(crate) async fn stop_requested_again() {
    sleep(ONE_STOP).await;
    // Whatever came until now does not count.
    stop_requested(Signals::listen()).await;
}
