//! An actor is not generic.
use actor_core::actor;

#[actor]
async fn resize<T>(image: T) {
    let _ = image;
}

#[actor]
async fn borrow<'a>(text: &'a str) {
    let _ = text;
}

#[actor]
async fn bounded(number: u32)
where
    u32: Copy,
{
    let _ = number;
}

#[actor]
async fn any(number: impl Copy) {
    let _ = number;
}

#[actor]
async fn returned() -> Result<impl Copy, String> {
    Ok(1)
}

fn main() {
    let _ = (resize.send(1), borrow.send("a"), bounded.message(1), any.send_many([1]));
}
