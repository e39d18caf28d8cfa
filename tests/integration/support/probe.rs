//! How actors report to their test: a state of the worker, and the test's receiver.

use std::time::Duration;

use tokio::sync::mpsc;

/// Longer than anything here takes: it ends a test that hangs.
const HANG: Duration = Duration::from_secs(60);

/// The actors' end, a state of the worker.
#[derive(Clone, Debug)]
pub struct Probe(mpsc::UnboundedSender<String>);

/// The test's end.
#[derive(Debug)]
pub struct Reports(mpsc::UnboundedReceiver<String>);

/// A probe and its receiver.
pub fn probe() -> (Probe, Reports) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Probe(sender), Reports(receiver))
}

impl Probe {
    /// Reports to the test. A test that has ended ignores it.
    pub fn report(&self, what: impl Into<String>) {
        let _ = self.0.send(what.into());
    }
}

/// Reports `dropped` when a run drops it.
pub struct Dropped(pub Probe);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.report("dropped");
    }
}

impl Reports {
    /// Waits for the next report.
    pub async fn next(&mut self) -> String {
        within(self.0.recv()).await.expect("a worker still holds the probe")
    }

    /// Waits for the next `count` reports, and sorts them.
    pub async fn next_sorted(&mut self, count: usize) -> Vec<String> {
        let mut reports = Vec::with_capacity(count);
        for _ in 0..count {
            reports.push(self.next().await);
        }
        reports.sort();
        reports
    }

    /// The reports not yet received.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Ends a test that hangs.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("this took longer than a minute: it hangs")
}
