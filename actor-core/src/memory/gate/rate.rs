//! The generic cell rate algorithm: one time says how much of a rate is used up.

use crate::Rate;
use crate::memory::clock::Moment;

/// When a message of this cost may start.
pub(in crate::memory) fn opens(allowed: Moment, cost: u32, rate: Rate) -> Moment {
    // What it costs more than the burst has to be saved up for.
    let spare = rate.interval().saturating_mul(rate.burst - cost.min(rate.burst));
    Moment(allowed.0.saturating_sub(Moment::default().after(spare).0))
}

/// What is used up once it has started. What costs more than the rate uses all of it.
pub(in crate::memory) fn used(allowed: Moment, cost: u32, rate: Rate, now: Moment) -> Moment {
    allowed.max(now).after(rate.interval().saturating_mul(cost.min(rate.starts.max(rate.burst))))
}

/// What is used up of another rate than the one that it was used of: no more than all that starts at once.
pub(in crate::memory) fn changed(allowed: Moment, rate: Rate, now: Moment) -> Moment {
    allowed.min(now.after(rate.interval().saturating_mul(rate.burst)))
}
