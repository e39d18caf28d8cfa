//! Makes the OS refuse threads, by a limit on a user's processes. It binds no superuser.

use std::io;
use std::process::{Command, ExitStatus, Stdio};

/// An unused user id. All workers whose threads are limited run as this user. A limit of one counts the threads of all
/// of them, and so refuses each new one.
const USER: &str = "--reuid=64123";
const GROUP: &str = "--regid=64123";

/// How such a worker is launched. It may still write its history where the superuser may.
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

/// Whether a limit can be set here, and takes effect.
pub(crate) fn can_be_refused() -> Result<(), String> {
    let run = |limit| as_user(&[limit, "sh", "-c", "(exit 0) & wait $!"]).map(|status| status.success());
    match (run(ALLOW), run(REFUSE)) {
        (Ok(true), Ok(false)) => Ok(()),
        (Ok(true), Ok(true)) => Err("a limit on a user's processes does not bind".to_owned()),
        (Ok(false), _) => Err("a process could not be run as another user".to_owned()),
        (Err(error), _) | (_, Err(error)) => Err(format!("setpriv and prlimit could not be run: {error}")),
    }
}

/// Makes the OS refuse each new thread of a process, or allows them again. The process may have ended.
pub(crate) fn refuse(pid: u32, refused: bool) -> io::Result<()> {
    let limit = if refused { REFUSE } else { ALLOW };
    as_user(&["--pid", &pid.to_string(), limit]).map(drop)
}

/// Changing another process's limits takes its own user, or more rights than a container has.
fn as_user(limit: &[&str]) -> io::Result<ExitStatus> {
    let mut command = Command::new("setpriv");
    command.args([USER, GROUP, "--clear-groups", "prlimit"]).args(limit);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
}
