//! What a public actor returns is public.
use actor_core::actor;

#[derive(Debug)]
struct MailError;

impl std::fmt::Display for MailError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no mail")
    }
}

impl std::error::Error for MailError {}

#[actor]
pub async fn welcome() -> Result<(), MailError> {
    Err(MailError)
}

fn main() {}
