//! Runs another benchmark and reads the figures it prints.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::{Figure, Result, cargo};

/// Runs a benchmark of the workspace at `root`, built as this program was, and calls `each` with each figure as it
/// comes. `arguments` follow `--`, after `--json`.
///
/// # Errors
///
/// Cargo cannot build it, it failed, or it printed something that is no figure.
pub fn figures(
    root: &Path,
    bench: &str,
    arguments: impl IntoIterator<Item = impl AsRef<str>>,
    mut each: impl FnMut(Figure),
) -> Result {
    let mut command = cargo();
    // A test uses the features of the other tests, so that nothing is built twice.
    let how: &[&str] = if cfg!(debug_assertions) {
        &["test", "--quiet", "--workspace", "--all-features"]
    } else {
        &["bench", "--features", "cron"]
    };
    command.args(how).args(["--bench", bench, "--", "--json"]).current_dir(root);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let output = process.stdout.take().ok_or("a benchmark without an output")?;
    let mut wrong = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        // Reads to the end even after an error, so that the benchmark does not block on a full pipe.
        match serde_json::from_str(&line) {
            Ok(figure) => each(figure),
            Err(error) => wrong = wrong.or(Some(format!("{bench} printed what is no figure ({error}): {line}"))),
        }
    }
    let status = process.wait()?;
    match wrong {
        _ if !status.success() => Err(format!("{bench} failed: {status}").into()),
        Some(wrong) => Err(wrong.into()),
        None => Ok(()),
    }
}
