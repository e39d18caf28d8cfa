//! The cost of a run: time, Redis's CPU and this process's own.

use std::time::{Duration, Instant};

use crate::{Result, Server};

/// The cost of some messages.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    messages: u64,
    wall: Duration,
    redis: Duration,
    own: Duration,
}

impl Cost {
    /// Messages a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds of Redis's CPU a message.
    #[must_use]
    pub fn redis_us(&self) -> f64 {
        self.each(self.redis)
    }

    /// Microseconds of this process's CPU a message.
    #[must_use]
    pub fn own_us(&self) -> f64 {
        self.each(self.own)
    }

    /// Microseconds of both processes' CPU a message.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        self.each(self.redis + self.own)
    }

    /// The same messages through two stages, one after the other.
    #[must_use]
    pub fn and_then(self, next: Self) -> Self {
        Self {
            messages: next.messages,
            wall: self.wall + next.wall,
            redis: self.redis + next.redis,
            own: self.own + next.own,
        }
    }

    fn each(&self, whole: Duration) -> f64 {
        whole.as_secs_f64() * 1e6 / self.messages as f64
    }
}

/// Measures from its start to its stop.
#[derive(Debug)]
pub struct Meter {
    redis: Duration,
    own: Duration,
    began: Instant,
}

impl Meter {
    /// Starts measuring.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn start(server: &Server) -> Result<Self> {
        let redis = server.cpu().await?;
        Ok(Self { redis, own: own_cpu(), began: Instant::now() })
    }

    /// The cost of this many messages.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn stop(self, server: &Server, messages: u64) -> Result<Cost> {
        let (wall, own) = (self.began.elapsed(), own_cpu() - self.own);
        Ok(Cost { messages, wall, own, redis: server.cpu().await? - self.redis })
    }
}

/// The CPU time of all threads of this process, in user and in kernel mode.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
