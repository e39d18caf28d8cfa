//! An open loop: messages are sent when they are due, whether or not earlier ones are through.
//!
//! A closed loop sends the next message when the last is through. It sends nothing while the system stalls, and so
//! omits the very messages that would have waited ("coordinated omission"). Here latency counts from when a message was
//! due, not from when it was sent.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Threads wake late by about this much: from here on, a lone message is awaited in a busy loop.
const WAKE: Duration = Duration::from_micros(150);

/// When each message is due: some every tick.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: Instant,
    tick: Duration,
    each: u64,
}

impl Pace {
    /// So many messages a second, starting in a moment. Above 200 a second they come in small bunches, one every
    /// millisecond.
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        let tick = if per_second <= 200.0 { 1.0 / per_second } else { 0.001 };
        let each = (per_second * tick).round().max(1.0) as u64;
        let began = Instant::now() + Duration::from_millis(50);
        Self { began, tick: Duration::from_secs_f64(tick), each }
    }

    /// When message `n` is due.
    #[must_use]
    pub fn due(&self, n: u64) -> Instant {
        self.began + self.tick.mul_f64((n / self.each) as f64)
    }

    /// Calls `send` with `0..messages`, each when it is due, on its own thread: timers of an async runtime have a
    /// resolution of a millisecond.
    pub fn run(self, messages: u64, mut send: impl FnMut(u64) + Send + 'static) -> JoinHandle<()> {
        let awake = if self.each == 1 { WAKE } else { Duration::ZERO };
        thread::spawn(move || {
            for n in 0..messages {
                let due = self.due(n);
                if let Some(sleep) = due.checked_duration_since(Instant::now() + awake) {
                    thread::sleep(sleep);
                }
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
                send(n);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_their_rate() {
        for rate in [50.0, 3_000.0, 80_000.0] {
            let pace = Pace::new(rate);
            let (first, last) = (pace.due(0), pace.due(rate as u64 * 2));
            let took = (last - first).as_secs_f64();
            assert!((took - 2.0).abs() < 0.01, "two seconds of {rate} a second took {took} s");
        }
    }
}
