//! What asks a program to stop.

/// Completes at the first SIGTERM or SIGINT (Ctrl-C elsewhere).
pub(crate) async fn stop_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            (Err(error), _) | (_, Err(error)) => cannot_listen(&error).await,
        }
    }
    #[cfg(not(unix))]
    if let Err(error) = tokio::signal::ctrl_c().await {
        cannot_listen(&error).await;
    }
}

/// A worker that cannot be told to stop should work on, rather than stop.
async fn cannot_listen(error: &std::io::Error) {
    tracing::error!(%error, "cannot listen for signals: stop this worker by ending its process");
    std::future::pending::<()>().await;
}
