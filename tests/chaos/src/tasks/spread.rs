//! Actors of more queues, so that each primary of a cluster serves some.

use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::{Context, Failure, MessageId, SendError, actor};

use super::Site;

/// An actor for each of these queues, of the same name.
macro_rules! actors {
    ($($actor:ident $queue:tt)*) => {
        $(
            /// Waits, fails `fails` times, and succeeds.
            #[actor(queue = $queue, max_retries = 4, min_backoff = "100ms", max_backoff = "1s")]
            pub(crate) async fn $actor(cx: &Context, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
                run(cx, ms, fails, site).await
            }
        )*

        /// Sends a message to one of these queues after a run.
        pub(crate) fn send_after(cx: &Context, queue: &str, ms: u64) -> Result<MessageId, SendError> {
            match queue {
                $($queue => $actor.message(ms, 0).send_after(cx),)*
                _ => unreachable!("{queue} is a queue of another actor"),
            }
        }

        /// Sends a message to one of these queues.
        pub(crate) async fn send(
            broker: &dyn Broker,
            queue: &str,
            (ms, fails): (u64, u32),
            delay: Duration,
        ) -> Result<(), SendError> {
            match queue {
                $($queue => $actor.message(ms, fails).delay(delay).send_with(broker).await.map(drop),)*
                _ => unreachable!("{queue} is a queue of another actor"),
            }
        }
    };
}

/// The queues of these actors.
pub(crate) const QUEUES: [&str; 4] = ["mail", "billing", "reports", "search"];

actors! { mail "mail" billing "billing" reports "reports" search "search" }

async fn run(cx: &Context, ms: u64, fails: u32, site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}
