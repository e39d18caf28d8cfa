//! The actors that this worker implements: each passes its arguments to the domain.

use actor_core::{Context, actor};
use uuid::Uuid;
use video_tasks::{Report, VideoError};

use crate::domain::video_processor::VideoProcessor;

#[actor(implements = video_tasks::process_video)]
async fn process_video(
    cx: &Context,
    video_id: Uuid,
    #[state] processor: &VideoProcessor,
) -> Result<Report, VideoError> {
    tracing::info!(%video_id, crashes = cx.crashes(), "processing video");
    let report = processor.process_video(video_id, &|step| cx.progress_note(step)).await?;
    tracing::info!(%video_id, bytes = report.bytes, "video processed");
    Ok(report)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_actor_that_is_linked_here_is_implemented_once() {
        actor_core::registry::check_complete().unwrap();
    }
}
