//! A Sentinel that says what a test tells it to.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use super::set::NAME;
use crate::fake::serve;

/// What a Sentinel says when another server was promoted.
const SWITCH: &str = "+switch-master";

pub(super) struct Liar {
    pub(super) port: u16,
    /// The port of the primary; 0 where it knows of none.
    named: Arc<AtomicU16>,
    is_silent: Arc<AtomicBool>,
    /// What it tells whoever listens, before it answers a `PING`.
    news: Arc<Mutex<String>>,
}

impl Liar {
    pub(super) async fn naming(port: u16) -> Self {
        let (named, is_silent) = (Arc::new(AtomicU16::new(port)), Arc::new(AtomicBool::new(false)));
        let news = Arc::<Mutex<String>>::default();
        let (names, silent, told) = (Arc::clone(&named), Arc::clone(&is_silent), Arc::clone(&news));
        let url = serve(move |command| match (command[0].as_str(), names.load(Ordering::SeqCst)) {
            ("HELLO", _) => "%0\r\n".to_owned(),
            ("SENTINEL", 0) => "_\r\n".to_owned(),
            ("SENTINEL", port) => format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.to_string().len()),
            ("SUBSCRIBE", _) => {
                let confirmed =
                    |channel: &String| format!(">3\r\n+subscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
                command[1..].iter().map(confirmed).collect()
            }
            ("PING", _) if !silent.load(Ordering::SeqCst) => format!("{}+PONG\r\n", told.lock().unwrap()),
            _ => String::new(),
        })
        .await;
        Self { port: url.rsplit_once(':').unwrap().1.parse().unwrap(), named, is_silent, news }
    }

    pub(super) fn name(&self, port: u16) {
        self.named.store(port, Ordering::SeqCst);
    }

    /// Has it say that another server was promoted, whatever it names.
    pub(super) fn announce(&self, former: u16, promoted: u16) {
        let text = format!("{NAME} 127.0.0.1 {former} 127.0.0.1 {promoted}");
        *self.news.lock().unwrap() = format!(">3\r\n$7\r\nmessage\r\n$14\r\n{SWITCH}\r\n${}\r\n{text}\r\n", text.len());
    }

    /// Has it answer no `PING` any more.
    pub(super) fn be_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }
}
