//! A misspelt type is one error, although the macro repeats the type.
use actor_core::actor;

#[actor]
async fn argument(id: Uuit) {
    let _ = id;
}

#[actor]
async fn borrowed(name: &Titel) {
    let _ = name;
}

#[actor]
async fn returned() -> Result<(), MailEror> {
    Ok(())
}

fn main() {}
