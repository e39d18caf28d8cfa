//! Free ports.

use std::iter;
use std::net::TcpListener;

#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) tls: u16,
    pub(super) bus: u16,
}

/// Free ports of so many members, all different.
pub(super) fn free_ports(count: usize) -> Vec<Ports> {
    // Below those that the system gives to whoever asks for any, and to connections: they would take one of these.
    let free = || {
        iter::repeat_with(|| fastrand::u16(10_000..32_000)).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
    };
    let free = || free().expect("there is a free port");
    let held: Vec<[_; 3]> = (0..count).map(|_| [free(), free(), free()]).collect();
    let ports = held.iter().map(|held| {
        let [plain, tls, bus] = held.each_ref().map(|held| held.local_addr().expect("it is bound").port());
        Ports { plain, tls, bus }
    });
    ports.collect()
}

/// A free port, as a cluster of one has for what it would say to others.
pub fn free_port() -> u16 {
    free_ports(1)[0].bus
}
