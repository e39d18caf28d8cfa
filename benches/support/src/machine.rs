//! The machine that figures were measured on.

use std::fs::read_to_string;
use std::process::Command;

/// The processor, its cores, the kernel and the Redis of this machine, as far as known.
#[must_use]
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let mut words = vec![processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned())];
    words.push(if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") });
    words.push(kernel().unwrap_or_else(|| std::env::consts::OS.to_owned()));
    words.extend(redis());
    words.join(", ")
}

fn processor() -> Option<String> {
    let info = read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kernel() -> Option<String> {
    let release = read_to_string("/proc/sys/kernel/osrelease").ok()?;
    // The rest describes the build.
    let number = release.trim().split(['-', '+']).next()?;
    Some(format!("Linux {number}"))
}

fn redis() -> Option<String> {
    let output = Command::new("redis-server").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(format!("redis-server {version}"))
}
