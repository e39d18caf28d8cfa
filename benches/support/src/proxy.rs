//! A TCP proxy that adds latency in each direction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, Server};

/// A proxy. Its threads end with its connections; the listening one ends with the program.
///
/// It uses threads, because timers of an async runtime have a resolution of a millisecond.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
}

/// Bytes, and when to pass them on.
type Held = (Instant, Vec<u8>);

impl Proxy {
    /// Starts a proxy that adds `round_trip`, half in each direction.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub fn start(server: &Server, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (port, behind) = (listener.local_addr()?.port(), server.port());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be passed on is closed, so its client notices.
                let _ = pass(client, behind, round_trip / 2);
            }
        });
        Ok(Self { port })
    }

    /// The URL to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn pass(client: TcpStream, behind: u16, delay: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", behind))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        let (held, due) = channel();
        thread::spawn(move || hold(from, &held, delay));
        thread::spawn(move || let_go(&due, to));
    }
    Ok(())
}

fn hold(mut from: TcpStream, held: &Sender<Held>, delay: Duration) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if held.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

fn let_go(due: &Receiver<Held>, mut to: TcpStream) {
    for (when, bytes) in due {
        thread::sleep(when.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
