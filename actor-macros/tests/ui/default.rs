//! A message that lacks an argument lacks all that follow it.
use actor_core::actor;

#[actor]
async fn resize(#[default = 80] quality: u8, width: u32) {
    let _ = (quality, width);
}

#[actor]
async fn listed(#[default(80)] quality: u8) {
    let _ = quality;
}

#[actor]
async fn conditional(#[cfg(unix)] quality: u8) {
    let _ = quality;
}

fn main() {
    let _ = resize.send(80, 1);
}
