//! `#[actor(crate = ..)]` finds `actor_core` behind a re-export: no crate of that name is here.

/// What a library of a company's own re-exports.
pub mod company {
    pub use queue;
}

/// Shared by senders and workers.
pub mod tasks {
    use crate::company::queue::actor;

    /// Has a body.
    #[actor(crate = crate::company::queue, queue = "mail", priority = "high")]
    pub async fn welcome(name: &str, #[state] greeting: &String) -> Result<String, String> {
        Ok(format!("{greeting} {name}"))
    }

    /// Has none.
    #[actor(crate = crate::company::queue)]
    pub async fn charge(id: u64) -> Result<(), String>;
}

/// The worker's part.
pub mod worker {
    use super::tasks;
    use crate::company::queue::{Context, actor};

    /// Charges.
    #[actor(implements = tasks::charge, crate = crate::company::queue, retry_if = |_| true)]
    async fn charge(cx: &Context, id: u64) -> Result<(), String> {
        Err(format!("attempt {} of {id}", cx.attempt()))
    }
}

#[test]
fn what_a_re_export_declares_is_found_and_sent() {
    queue::registry::check_complete().expect("each actor is declared and implemented once");
    assert_eq!((tasks::welcome.name(), tasks::welcome.queue().as_str()), ("welcome", "mail"));
    drop((tasks::welcome.message("ada"), tasks::charge.send_many([1, 2])));
}
