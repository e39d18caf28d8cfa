//! What a public actor returns is public too.
use actor_core::actor;

struct MailError;

impl std::fmt::Display for MailError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no mail")
    }
}

#[actor]
pub async fn welcome() -> Result<(), MailError> {
    Err(MailError)
}

fn main() {}
