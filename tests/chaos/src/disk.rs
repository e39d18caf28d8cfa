//! A small disk that a fault can fill.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough for what one scenario writes.
const SIZE: &str = "size=256m";
/// The size of one write.
const PIECE: usize = 1 << 16;

/// A file system in memory, unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk at `path`.
    ///
    /// # Errors
    ///
    /// Mounting is not permitted here. The error contains the answer.
    pub(crate) fn mount(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let answer = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "chaos"]).arg(path).output()?;
        if !answer.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&answer.stderr).trim().to_owned()));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Fills the disk.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        let mut piece = vec![0; PIECE];
        while !piece.is_empty() {
            // A smaller piece may still fit.
            match ballast.write(&piece) {
                Ok(written) if written == piece.len() => {}
                Ok(_) | Err(_) => piece.truncate(piece.len() / 2),
            }
        }
        Ok(())
    }

    /// Frees the space again.
    pub(crate) fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The writer was killed a moment ago.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
