//! A user and a password that are changed again and again, and where a process finds them: in a file, as an agent of a
//! vault writes it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actor_redis::Credentials;
use redis::RedisResult;

use crate::server::Server;

/// The password of the user `default`, which only the harness knows.
pub(crate) const OWN: &str = "harness";
/// Options of a server that takes nobody without one.
pub(crate) const GUARDED: &[&str] = &["--requirepass", OWN];
/// For how long a connection may keep what it authenticated with. The library authenticates it again after 1.5 to 3 s.
const VALID_FOR: Duration = Duration::from_secs(6);
/// How long the former ones stay valid after new ones are in the file, in ms: no connection has them any more.
pub(crate) const GRACE_MS: (u64, u64) = (6_500, 8_000);

/// The current user and password.
#[derive(Debug)]
pub(crate) struct Rotation {
    file: PathBuf,
    number: u64,
    current: Pair,
    /// What is to be revoked once its time is over.
    former: Option<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    user: String,
    password: String,
}

impl Rotation {
    /// Makes the first user.
    pub(crate) fn start(directory: &Path, server: &Server) -> Result<Self, Box<dyn Error>> {
        let current = Pair { user: "app-0".to_owned(), password: "password-0".to_owned() };
        let rotation = Self { file: file(directory), number: 0, current, former: None };
        rotation.add(server)?;
        rotation.publish()?;
        Ok(rotation)
    }

    /// Makes another user with another password. The former one stays.
    pub(crate) fn another_user(&mut self, server: &Server) -> Result<(), Box<dyn Error>> {
        self.number += 1;
        self.next(format!("app-{}", self.number), server)
    }

    /// Gives the user another password beside the former one.
    pub(crate) fn another_password(&mut self, server: &Server) -> Result<(), Box<dyn Error>> {
        self.number += 1;
        self.next(self.current.user.clone(), server)
    }

    fn next(&mut self, user: String, server: &Server) -> Result<(), Box<dyn Error>> {
        let next = Pair { user, password: format!("password-{}", self.number) };
        self.former = Some(std::mem::replace(&mut self.current, next));
        self.add(server)?;
        Ok(self.publish()?)
    }

    /// The former user, and how many connections still have it.
    pub(crate) fn keepers(&self, server: &Server) -> RedisResult<Option<(String, u64)>> {
        let Some(Pair { user, .. }) = self.former.as_ref().filter(|former| former.user != self.current.user) else {
            return Ok(None);
        };
        let clients: String = server.run("CLIENT LIST")?;
        let kept = clients.lines().filter(|client| client.contains(&format!(" user={user} "))).count();
        Ok(Some((user.clone(), kept as u64)))
    }

    /// Revokes the former user or password. Redis closes all connections of a user that is deleted.
    pub(crate) fn revoke(&mut self, server: &Server) -> RedisResult<()> {
        let Some(Pair { user, password }) = self.former.take() else { return Ok(()) };
        if user == self.current.user {
            return server.run(&format!("ACL SETUSER {user} <{password}"));
        }
        server.run::<u64>(&format!("ACL DELUSER {user}")).map(drop)
    }

    /// Leaves the provider without an answer.
    pub(crate) fn hide(&self) -> io::Result<()> {
        std::fs::remove_file(&self.file)
    }

    /// Writes the file anew, in one step.
    pub(crate) fn publish(&self) -> io::Result<()> {
        let written = self.file.with_extension("new");
        std::fs::write(&written, format!("{}\n{}\n", self.current.user, self.current.password))?;
        std::fs::rename(written, &self.file)
    }

    fn add(&self, server: &Server) -> RedisResult<()> {
        let Pair { user, password } = &self.current;
        server.run(&format!("ACL SETUSER {user} on >{password} ~* &* +@all"))
    }
}

/// Where the current ones are written.
pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join("credentials")
}

/// What a process's provider gives.
pub(crate) fn read(file: &Path) -> Result<Credentials, Box<dyn Error + Send + Sync>> {
    let text = std::fs::read_to_string(file)?;
    let (user, password) = text.trim_end().split_once('\n').ok_or("a user and a password were expected")?;
    Ok(Credentials::new(user, password).valid_for(VALID_FOR))
}

/// What the harness's own provider gives.
pub(crate) async fn as_default() -> Result<Credentials, Box<dyn Error + Send + Sync>> {
    Ok(Credentials::password(OWN))
}
