//! The poster: a small picture of a video's bytes.

use std::io::{self, Read};

/// The poster's edge, in pixels.
const EDGE: u32 = 64;

/// A gray picture with one pixel for each 4096th part of a video, as bright as that part's mean byte.
///
/// What compresses well shows as a pattern, what is encrypted as even gray.
pub(crate) struct Poster(Vec<u8>);

impl Poster {
    /// Reads a video of `length` bytes, and shows each part to `see` on the way, so that the video
    /// is read once.
    pub(crate) fn read(video: &mut impl Read, length: u64, mut see: impl FnMut(&[u8])) -> io::Result<Self> {
        let parts = u64::from(EDGE) * u64::from(EDGE);
        let (mut pixels, mut part) = (Vec::new(), Vec::new());
        for number in 0..parts {
            // The parts differ by at most one byte, and their sum is the whole.
            let size = length * (number + 1) / parts - length * number / parts;
            part.clear();
            if video.take(size).read_to_end(&mut part)? as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            see(&part);
            pixels.push(mean(&part));
        }
        Ok(Self(pixels))
    }

    /// The picture as a PNG file.
    pub(crate) fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, EDGE, EDGE);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.0)?;
        writer.finish()?;
        Ok(file)
    }
}

/// The mean of some bytes; 0 of none.
fn mean(bytes: &[u8]) -> u8 {
    let sum: u64 = bytes.iter().copied().map(u64::from).sum();
    let mean = sum / (bytes.len() as u64).max(1);
    u8::try_from(mean).expect("the mean of bytes is a byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(video: &[u8]) -> (Poster, Vec<u8>) {
        let mut seen = Vec::new();
        let poster = Poster::read(&mut &*video, video.len() as u64, |part| seen.extend_from_slice(part)).unwrap();
        (poster, seen)
    }

    #[test]
    fn each_byte_is_seen_once_whatever_the_length() {
        for length in [0, 1, 4095, 4096, 4097, 10_000] {
            let video: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let (poster, seen) = read(&video);
            assert_eq!(seen, video);
            assert_eq!(poster.0.len(), 4096);
        }
    }

    #[test]
    fn a_pixel_is_as_bright_as_its_part() {
        let mut video = vec![10; 8192];
        video.extend(vec![200; 8192]);
        let (poster, _) = read(&video);
        assert!(poster.0[..2048].iter().all(|pixel| *pixel == 10));
        assert!(poster.0[2048..].iter().all(|pixel| *pixel == 200));
    }

    #[test]
    fn a_video_that_ends_early_is_an_error() {
        assert!(Poster::read(&mut &b"abc"[..], 4, |_| ()).is_err());
    }

    #[test]
    fn the_poster_is_a_picture_that_others_can_read() {
        let (poster, _) = read(&[7; 5000]);
        let file = poster.to_png().unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (64, 64));
        assert_eq!(pixels, vec![7; 4096]);
    }
}
