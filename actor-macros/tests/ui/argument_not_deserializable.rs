//! An argument can be deserialized where the body is.
use actor_core::actor;

#[derive(serde::Serialize)]
pub struct Video;

#[actor]
pub async fn process_video(video: Video) {
    let _ = video;
}

fn main() {}
