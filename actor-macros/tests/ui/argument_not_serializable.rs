//! An argument implements `Serialize`.
use actor_core::actor;

#[derive(serde::Deserialize)]
pub struct Video;

#[actor]
pub async fn process_video(video: Video) {
    let _ = video;
}

fn main() {}
