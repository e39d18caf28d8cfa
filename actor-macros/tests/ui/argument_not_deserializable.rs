//! An argument implements `Deserialize`, where there is a body.
use actor_core::actor;

#[derive(serde::Serialize)]
pub struct Video;

#[actor]
pub async fn process_video(video: Video) {
    let _ = video;
}

fn main() {}
