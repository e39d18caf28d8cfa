//! A default has its argument's type.
use actor_core::actor;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Quality;

#[actor]
async fn resize(#[default = "high"] quality: u8, #[default = 1] name: &str) {
    let _ = (quality, name);
}

#[actor]
async fn without(#[default] quality: Quality) {
    let _ = quality;
}

fn main() {}
