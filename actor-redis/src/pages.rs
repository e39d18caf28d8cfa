//! The project's own pages, compiled with the crate that can run what they show.

#[doc = include_str!("../../README.md")]
mod readme {}
#[doc = include_str!("../../docs/actor-options.md")]
mod actor_options {}
#[doc = include_str!("../../docs/running-redis.md")]
mod running_redis {}
#[doc = include_str!("../../docs/unique.md")]
mod unique {}
#[doc = include_str!("../../docs/send-after.md")]
mod send_after {}
#[doc = include_str!("../../docs/testing.md")]
mod testing {}
#[doc = include_str!("../../docs/coming-from-python.md")]
mod coming_from_python {}
#[doc = include_str!("../../docs/credentials.md")]
mod credentials {}
#[doc = include_str!("../../docs/batches.md")]
mod batches {}
