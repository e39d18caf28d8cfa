//! What became of a message that was sent: the result of its run, and where it stands until then.
//!
//! An actor with `#[actor(results = "1h")]` keeps what its runs return, or why a message failed for good, for an hour after
//! its end. It is stored in the step that settles the run, so that a result is there if and only if the run counts.
//! [`Sent::result`](crate::Sent::result) waits for it. [`Sent::status`](crate::Sent::status) says of any message where it is.
//! `docs/results.md` shows both.

mod await_result;
mod error;
mod keeps;
mod progress;
mod record;
mod seam;
mod status;

pub use self::await_result::Awaiting;
pub use self::error::ResultError;
pub use self::keeps::{KeepsResults, ReadsResults};
pub use self::progress::Progress;
pub(crate) use self::progress::{PROGRESS, Reported};
#[cfg(feature = "worker")]
pub(crate) use self::record::Ending;
pub(crate) use self::record::cancelled;
pub use self::seam::{Ended, Results, Standing};
pub use self::status::Status;
pub(crate) use self::status::status;

// The page is compiled with the crate that can run what it shows.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/results.md")]
mod page {}
