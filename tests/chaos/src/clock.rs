//! The clock of every history. All processes of this machine share it, and no fault can set it.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since the machine was started.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // A monotonic clock begins at zero.
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
}

pub(crate) const SECOND: u64 = 1_000_000;
