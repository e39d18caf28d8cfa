//! The Redis broker at its seam, each test on a `redis-server` of its own.
#![allow(clippy::unwrap_used)] // A test ends where something is not as it should be.

mod life;
mod server;
