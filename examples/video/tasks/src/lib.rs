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

/// Reads an uploaded video, makes its poster, and writes its report. How it ended is kept for a day.
#[actor(queue = "video_processing", max_retries = 3, results = "1d")]
pub async fn process_video(video_id: Uuid) -> Result<Report, VideoError>;
