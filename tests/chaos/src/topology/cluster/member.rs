//! One member of a cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use redis::RedisResult;

use super::super::Access;
use crate::proxy::{Condition, Proxy};
use crate::server::{Server, free_ports};

/// How long a member must be silent before the others call it dead, in ms. With much less, a busy machine would be
/// taken for a dead primary.
const NODE_TIMEOUT_MS: &str = "2000";

const OPTIONS: &[&str] = &[
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    NODE_TIMEOUT_MS,
    "--cluster-announce-ip",
    "127.0.0.1",
    // What nobody serves is no reason to serve nothing, and a replica that waited is as good as any.
    "--cluster-require-full-coverage",
    "no",
    "--cluster-replica-validity-factor",
    "0",
    "--cluster-allow-replica-migration",
    "no",
];

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) id: String,
    /// Where the others connect to it.
    bus: u16,
    pub(super) fronts: Option<Fronts>,
}

/// Announced in place of a member's ports.
#[derive(Debug)]
pub(super) struct Fronts {
    /// For clients, and for who replicates it.
    plain: Proxy,
    /// For the other members.
    bus: Proxy,
    /// From where it connects to others.
    pub(super) address: IpAddr,
}

impl Member {
    pub(super) async fn start(directory: &Path, number: usize, options: &[&str], access: Access) -> io::Result<Self> {
        let bus = free_ports(1)?[0];
        let mut words: Vec<_> = options.iter().chain(OPTIONS).map(|word| (*word).to_owned()).collect();
        words.extend(["--cluster-port".to_owned(), bus.to_string()]);
        let mut fronts = None;
        if access == Access::Fronts {
            let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2 + number as u8));
            let (plain, bus) = (Proxy::start(0, None).await?, Proxy::start(bus, None).await?);
            let announced = [("port", plain.port.to_string()), ("bus-port", bus.port.to_string())];
            words.extend(announced.into_iter().flat_map(|(name, port)| [format!("--cluster-announce-{name}"), port]));
            words.extend(["--bind-source-addr".to_owned(), address.to_string()]);
            fronts = Some(Fronts { plain, bus, address });
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let server = Server::start(directory, &format!("redis-{number}"), &words)?;
        if let Some(fronts) = &fronts {
            fronts.plain.point(server.port);
        }
        let id = server.run("CLUSTER MYID").map_err(io::Error::other)?;
        Ok(Self { server, id, bus, fronts })
    }

    /// The ports that it announces: for clients, and for other members.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.fronts.as_ref().map_or((self.server.port, self.bus), |fronts| (fronts.plain.port, fronts.bus.port))
    }

    /// What it knows of each member, as lines.
    pub(super) fn nodes(&self) -> RedisResult<String> {
        self.server.run("CLUSTER NODES")
    }
}

impl Fronts {
    pub(super) fn set_for_clients(&self, condition: Condition) {
        self.plain.set(condition);
    }

    /// Sets what the other members, and those who replicate this one, meet.
    pub(super) fn set_for_members(&self, condition: Condition) {
        self.bus.set_for_servers(condition);
        self.plain.set_for_servers(condition);
    }

    /// Sets what one other member meets.
    pub(super) fn set_for(&self, member: IpAddr, condition: Condition) {
        self.bus.set_for(member, condition);
        self.plain.set_for(member, condition);
    }
}
