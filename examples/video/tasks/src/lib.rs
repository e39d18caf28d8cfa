//! What the API and the worker share: the actor's declaration, the types it speaks, and where its
//! files lie. No work is done here, so nothing that the work needs is compiled into the API.

mod error;
mod report;
mod uploads;

use actor_core::actor;
use uuid::Uuid;

pub use error::VideoError;
pub use report::Report;
pub use uploads::Uploads;

/// Reads an uploaded video, makes its poster, and writes its report.
#[actor(queue = "video_processing", max_retries = 3)]
pub async fn process_video(video_id: Uuid) -> Result<Report, VideoError>;
