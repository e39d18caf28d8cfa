//! How one server replicates another.

use std::io;
use std::time::{Duration, Instant};

use redis::RedisResult;

use crate::server::Server;

/// Longer than a promotion or a synchronization ever takes here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of servers that replicate one another.
pub(super) const PAIRED: &[&str] = &["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];

/// Makes a server replicate the one at this port, and waits until it has all data.
pub(super) fn follow(server: &mut Server, master: u16) -> io::Result<()> {
    if !server.is_running() {
        server.launch(&[])?;
        server.wait_ready()?;
    }
    server.run::<String>(&format!("REPLICAOF 127.0.0.1 {master}")).map_err(io::Error::other)?;
    wait("a replica that follows", || Ok(follows(server, master)?.then_some(())))
}

/// Whether a server replicates the one at this port, and is connected to it.
pub(super) fn follows(server: &Server, master: u16) -> RedisResult<bool> {
    let info = info(server)?;
    Ok(info.contains("master_link_status:up") && info.contains(&format!("master_port:{master}\r")))
}

pub(super) fn role(server: &Server) -> RedisResult<String> {
    let info = info(server)?;
    let role = info.lines().find_map(|line| line.strip_prefix("role:"));
    Ok(role.unwrap_or_default().trim().to_owned())
}

fn info(server: &Server) -> RedisResult<String> {
    server.run("INFO replication")
}

/// Waits until something is reached. `what` names it, for the error.
pub(super) fn wait<T>(what: &str, mut reached: impl FnMut() -> RedisResult<Option<T>>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        match reached() {
            Ok(Some(value)) => return Ok(value),
            Err(error) if began.elapsed() > PATIENCE => return Err(io::Error::other(format!("{what}: {error}"))),
            Ok(None) if began.elapsed() > PATIENCE => {
                return Err(io::Error::other(format!("{what}: not within {PATIENCE:?}")));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
