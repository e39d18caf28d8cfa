//! Threads that the OS refuses: a limit on the processes of a user, which binds no superuser.

use std::io;
use std::process::{Command, ExitStatus, Stdio};

/// Nobody's number. All workers that can be refused threads run as this user: a limit of one, which counts the threads of
/// all of them, refuses each new one.
const USER: &str = "--reuid=64123";
const GROUP: &str = "--regid=64123";

/// What a worker runs under that can be refused threads. It may still write its history where the superuser may.
pub(crate) const PROGRAM: &[&str] = &[
    "setpriv",
    USER,
    GROUP,
    "--clear-groups",
    "--inh-caps=+dac_override,+dac_read_search",
    "--ambient-caps=+dac_override,+dac_read_search",
];

const REFUSE: &str = "--nproc=1:";
const ALLOW: &str = "--nproc=4096:";

/// Whether a limit can be set here, and binds.
pub(crate) fn can_be_refused() -> Result<(), String> {
    let run = |limit| as_user(&[limit, "sh", "-c", "(exit 0) & wait $!"]).map(|status| status.success());
    match (run(ALLOW), run(REFUSE)) {
        (Ok(true), Ok(false)) => Ok(()),
        (Ok(true), Ok(true)) => Err("a limit on a user's processes does not bind".to_owned()),
        (Ok(false), _) => Err("a process could not be run as another user".to_owned()),
        (Err(error), _) | (_, Err(error)) => Err(format!("setpriv and prlimit could not be run: {error}")),
    }
}

/// Has the OS refuse each thread that a process wants, or allows them again. The process may have ended.
pub(crate) fn refuse(pid: u32, refused: bool) -> io::Result<()> {
    let limit = if refused { REFUSE } else { ALLOW };
    as_user(&["--pid", &pid.to_string(), limit]).map(drop)
}

/// Only the user itself, or one with more rights than a container has, may change a process's limits.
fn as_user(limit: &[&str]) -> io::Result<ExitStatus> {
    let mut command = Command::new("setpriv");
    command.args([USER, GROUP, "--clear-groups", "prlimit"]).args(limit);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
}
