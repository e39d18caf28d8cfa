//! Test support: a broker, workers that can be stopped or killed, and captured logs.

pub mod by_hand;
/// The same as that of the Redis broker's own tests.
#[path = "../../../actor-redis/tests/broker/cluster/members.rs"]
pub mod cluster;
pub mod gate;
pub mod log_capture;
pub mod probe;
pub mod sentinels;
pub mod server;
pub mod stage;
pub mod worker;

pub use by_hand::by_hand;
pub use gate::Gate;
pub use log_capture::LogCapture;
pub use probe::{Probe, probe};
pub use server::RedisServer;
pub use stage::Stage;
pub use worker::RunningWorker;

/// Runs each behaviour on every broker, as a test of its own.
#[macro_export]
macro_rules! on_every_broker {
    ($(
        $(#[$attribute:meta])*
        async fn $name:ident($stage:ident: Stage) $body:block
    )*) => {
        $(
            $(#[$attribute])*
            async fn $name($stage: $crate::support::Stage) $body
        )*

        mod memory {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::support::Stage::memory()).await;
                }
            )*
        }

        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::support::Stage::redis().await).await;
                }
            )*
        }
    };
}
