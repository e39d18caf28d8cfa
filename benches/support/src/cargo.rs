//! Cargo, called by what cargo itself has started.

use std::env;
use std::process::Command;

/// The cargo that runs this program, without what it has set for this program's own package. A build script that asks for
/// those variables would otherwise run again in each call, and with it everything that is built upon its crate.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let of_a_package =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if of_a_package {
            command.env_remove(name);
        }
    }
    command
}
