//! What is logged, as it stands in a terminal.
#![allow(dead_code, clippy::unwrap_used)] // Each test binary reads it in its own way.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{Level, Subscriber};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
pub(crate) struct Terminal(Arc<Mutex<Vec<u8>>>);

impl io::Write for Terminal {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Terminal {
    /// Writes what is logged at `level` and above.
    pub(crate) fn subscriber(&self, level: Level) -> impl Subscriber + Send + Sync + use<> {
        let terminal = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_max_level(level).with_writer(move || terminal.clone()).finish()
    }

    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    pub(crate) async fn until(&self, count: usize, text: &str) -> Vec<String> {
        let logged = timeout(HANGS, async {
            while self.lines(text).len() < count {
                sleep(Duration::from_millis(2)).await;
            }
        });
        logged.await.unwrap_or_else(|_| panic!("{text:?} is not {count} times in {:#?}", self.lines("")));
        self.lines(text)
    }
}
