//! What the API and the worker share: the actor's declaration, its types, and the paths of its files.
//! There is no body here, so the API compiles none of the worker's dependencies.

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
