//! Messages as another language writes them.

use actor_core::MessageId;

/// The smallest message. `args` is a JSON array.
pub fn by_hand(actor: &str, queue: &str, args: &str) -> String {
    with_members(actor, queue, args, r#""v":1"#)
}

/// The same with other members than the version, or with more.
pub fn with_members(actor: &str, queue: &str, args: &str, members: &str) -> String {
    let id = MessageId::new();
    format!(r#"{{"id":"{id}","actor":"{actor}","queue":"{queue}","args":{args},{members}}}"#)
}
