//! What `#[actor]` makes of a function.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused, rust_2018_idioms, missing_debug_implementations)]

use actor_core::{Actor, Context, Failure, actor};
use actor_core::actor::Implementation;
use std::time::Duration;

/// A user's error.
#[derive(Debug)]
pub struct MailError;

impl std::fmt::Display for MailError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mail")
    }
}

/// Welcomes somebody.
#[actor(queue = "mail", max_retries = 3, min_backoff = "1s", max_backoff = "1h30m", time_limit = "none", max_age = "7d", priority = "high", retry_if = |_| true)]
pub async fn welcome(cx: &Context, to: String, broker: &str, #[state] calls: &u32, #[default = 3] times: u8, #[default] reader: &[u16]) -> Result<String, MailError> {
    let _ = (cx, broker, calls, reader);
    Ok(format!("{to} {times}"))
}

/// Without a body.
#[actor(queue = "video")]
pub fn process_video(video_id: u64, name: &str) -> Result<String, MailError>;

mod worker {
    use super::*;

    #[actor(implements = super::process_video, retry_if = MailError::is_transient)]
    async fn process_video(video_id: u64, cx: &Context, name: &str) -> Result<String, MailError> {
        let _ = (cx, video_id, name);
        Ok(String::new())
    }

    impl MailError {
        fn is_transient(&self) -> bool { true }
    }

    #[actor]
    fn tick() {}
}

#[test]
fn a_declaration_is_what_the_options_say() {
    #[actor]
    async fn inside(a: u8) -> Result<(), Failure> { let _ = a; Ok(()) }
    println!("{:?}", welcome::DEF);
    println!("{:?}", inside::DEF);
    println!("{:?}", <welcome as Implementation>::IMPLEMENTATION);
    for def in actor_core::registry::actors() { println!("{}", def.name); }
    for def in actor_core::registry::implementations() { println!("{}", def.actor.name); }
    let _ = welcome.send("a".into(), "b", 3, &[1]);
    let _ = welcome.send_many([("a".into(), "b", 3, &[1_u16][..])]);
    let _ = process_video.send(1, "b");
    assert_eq!(welcome::DEF.options.max_backoff, Duration::from_secs(5400));
}
