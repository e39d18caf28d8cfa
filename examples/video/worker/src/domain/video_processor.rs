//! The business logic. It knows files and videos, not queues. A second call for one video gives the same
//! report.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use uuid::Uuid;
use video_tasks::{Report, Uploads, VideoError};

use super::poster::Poster;

/// Makes a report and a poster of each upload.
#[derive(Debug)]
pub(crate) struct VideoProcessor {
    uploads: Uploads,
    slowdown: Duration,
}

impl VideoProcessor {
    pub(crate) fn new(uploads: Uploads, slowdown: Duration) -> Self {
        Self { uploads, slowdown }
    }

    /// Reads the upload, and writes its poster and its report.
    ///
    /// Idempotent: the same upload gives the same files, and each is written whole or not at all. It may be
    /// interrupted at any point, run again, and even run twice at once.
    ///
    /// `begins` is told of each step.
    pub(crate) async fn process_video(
        &self,
        video_id: Uuid,
        begins: &(dyn Fn(&str) + Sync),
    ) -> Result<Report, VideoError> {
        let uploads = self.uploads.clone();
        begins("reading the video");
        let (report, poster) = blocking(video_id, move || analyse(&uploads, video_id)).await?;
        tokio::time::sleep(self.slowdown).await;
        begins("writing the report");
        let uploads = self.uploads.clone();
        blocking(video_id, move || {
            publish(&uploads, &report, &poster).map_err(|cause| VideoError::file(video_id, cause))?;
            Ok(report)
        })
        .await
    }
}

/// Runs blocking work on files off the runtime's threads.
async fn blocking<T: Send + 'static>(
    video_id: Uuid,
    work: impl FnOnce() -> Result<T, VideoError> + Send + 'static,
) -> Result<T, VideoError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(VideoError::file(video_id, io::Error::other(error))))
}

fn analyse(uploads: &Uploads, video_id: Uuid) -> Result<(Report, Poster), VideoError> {
    let video = File::open(uploads.video(video_id)).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => VideoError::NotUploaded(video_id),
        _ => VideoError::file(video_id, cause),
    })?;
    let read = |video: File| {
        let bytes = video.metadata()?.len();
        let mut checksum = Sha256::new();
        let poster = Poster::read(&mut BufReader::new(video), bytes, |part| checksum.update(part))?;
        let sha256 = checksum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((Report { video_id, bytes, sha256, poster: uploads.poster_name(video_id) }, poster))
    };
    read(video).map_err(|cause| VideoError::file(video_id, cause))
}

/// Writes the poster, then the report: where the report is, the work is done.
fn publish(uploads: &Uploads, report: &Report, poster: &Poster) -> io::Result<()> {
    write_whole(&uploads.poster(report.video_id), &poster.to_png()?)?;
    write_whole(&uploads.report(report.video_id), &serde_json::to_vec_pretty(report)?)
}

/// Writes a file that appears whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    // The message is acknowledged after this run: its files must be on disk by then.
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const VIDEO: Uuid = Uuid::from_u128(7);

    fn uploaded(content: &[u8]) -> (tempfile::TempDir, VideoProcessor) {
        let directory = tempfile::tempdir().unwrap();
        let processor = VideoProcessor::new(Uploads::new(directory.path()), Duration::ZERO);
        fs::write(processor.uploads.video(VIDEO), content).unwrap();
        (directory, processor)
    }

    fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn the_report_says_what_was_uploaded() {
        let (directory, processor) = uploaded(b"abc");
        let report = processor.process_video(VIDEO, &|_| {}).await.unwrap();
        // The first example of FIPS 180-2.
        assert_eq!(report.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((report.video_id, report.bytes), (VIDEO, 3));
        let written = fs::read(processor.uploads.report(VIDEO)).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&written).unwrap(), report);
        assert!(directory.path().join(report.poster).exists());
    }

    #[tokio::test]
    async fn processing_again_and_twice_at_once_changes_nothing() {
        let (directory, processor) = uploaded(&[3; 100_000]);
        processor.process_video(VIDEO, &|_| {}).await.unwrap();
        let once = files(directory.path());
        let (first, second) =
            tokio::join!(processor.process_video(VIDEO, &|_| {}), processor.process_video(VIDEO, &|_| {}));
        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(files(directory.path()), once);
    }

    #[tokio::test]
    async fn a_video_that_was_never_uploaded_is_an_error_and_leaves_nothing_behind() {
        let (directory, processor) = uploaded(b"abc");
        let error = processor.process_video(Uuid::from_u128(8), &|_| {}).await.unwrap_err();
        assert!(matches!(error, VideoError::NotUploaded(_)), "{error}");
        assert_eq!(files(directory.path()).len(), 1);
    }
}
