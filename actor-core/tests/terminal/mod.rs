//! What is logged, as it stands in a terminal.
#![allow(dead_code, clippy::unwrap_used)] // Each test binary reads it in its own way.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{Level, Subscriber};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
pub(crate) struct Terminal(Arc<Screen>);

#[derive(Default)]
struct Screen {
    text: Mutex<Vec<u8>>,
    written: Notify,
}

impl io::Write for Terminal {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = self.0.text.lock().unwrap().write(text);
        self.0.written.notify_waiters();
        written
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
        let all = String::from_utf8(self.0.text.lock().unwrap().clone()).unwrap();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    pub(crate) async fn until(&self, count: usize, text: &str) -> Vec<String> {
        let logged = timeout(HANGS, async {
            loop {
                let mut written = pin!(self.0.written.notified());
                // From here on, so that no line is missed between the look and the wait.
                written.as_mut().enable();
                if self.lines(text).len() >= count {
                    break;
                }
                written.await;
            }
        });
        logged.await.unwrap_or_else(|_| panic!("{text:?} is not {count} times in {:#?}", self.lines("")));
        self.lines(text)
    }
}
