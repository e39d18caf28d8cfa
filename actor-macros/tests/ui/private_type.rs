//! What a public actor takes and returns is public.
use actor_core::actor;

#[derive(serde::Serialize, serde::Deserialize)]
struct Video;

#[actor]
pub async fn process_video(video: Video) {
    let _ = video;
}

fn main() {}
