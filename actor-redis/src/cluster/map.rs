//! Which member serves which slot, and how members say so.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{FromRedisValue, Value};

use super::address::{Address, AddressMap};
use super::slot::SLOTS;
use crate::endpoint::Endpoint;

/// The primary of each slot.
#[derive(Debug)]
pub(super) struct SlotMap {
    primaries: Vec<Arc<Endpoint>>,
    /// For each slot, where its primary stands among `primaries`.
    slots: Box<[Option<u16>]>,
}

impl SlotMap {
    pub(super) fn new() -> Self {
        Self { primaries: Vec::new(), slots: vec![None; usize::from(SLOTS)].into() }
    }

    pub(super) fn get(&self, slot: u16) -> Option<&Arc<Endpoint>> {
        let at = (*self.slots.get(usize::from(slot))?)?;
        self.primaries.get(usize::from(at))
    }

    /// Has a member serve slots. Those that no cluster has are ignored.
    pub(super) fn set(&mut self, from: u16, to: u16, primary: &Arc<Endpoint>) {
        let known = self.primaries.iter().position(|known| Arc::ptr_eq(known, primary));
        let at = known.unwrap_or_else(|| {
            self.primaries.push(Arc::clone(primary));
            self.primaries.len() - 1
        });
        let to = to.min(SLOTS - 1);
        if let (Ok(at), Some(slots)) = (u16::try_from(at), self.slots.get_mut(usize::from(from)..=usize::from(to))) {
            slots.fill(Some(at));
        }
    }

    /// The members that serve slots.
    pub(super) fn serving(&self) -> Vec<Arc<Endpoint>> {
        let serves = |at: usize| self.slots.iter().flatten().any(|slot| usize::from(*slot) == at);
        let all = self.primaries.iter().enumerate().filter(|(at, _)| serves(*at));
        all.map(|(_, primary)| Arc::clone(primary)).collect()
    }

    /// The members that serve slots, or did until a moment ago.
    pub(super) fn primaries(&self) -> &[Arc<Endpoint>] {
        &self.primaries
    }
}

/// What a member says of the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    /// Ranges of slots, each with its primary.
    pub(super) ranges: Vec<(u16, u16, Address)>,
    /// All members, replicas too.
    pub(super) members: Vec<Address>,
}

impl Announced {
    /// Itself, unless it names nobody who serves anything: one that was just made, or left, knows of no cluster.
    fn known(self) -> Option<Self> {
        (!self.ranges.is_empty()).then_some(self)
    }

    /// How many slots somebody serves, as far as the member knows.
    pub(super) fn served(&self) -> u32 {
        self.ranges.iter().map(|(from, to, _)| u32::from(*to) + 1 - u32::from(*from.min(to))).sum()
    }

    /// Whether it names a primary for every slot. A member that joined a moment ago does not: it has met the others,
    /// but not yet heard of their slots.
    pub(super) fn is_complete(&self) -> bool {
        self.served() >= u32::from(SLOTS)
    }
}

/// What an announced address depends on: who announced it, and how it is reached.
pub(super) struct Reading<'a> {
    pub(super) asked: &'a Address,
    pub(super) addresses: &'a AddressMap,
    pub(super) is_tls: bool,
}

impl Reading<'_> {
    /// Reads an answer to `CLUSTER SHARDS`.
    pub(super) fn shards(&self, answer: &Value) -> Option<Announced> {
        let mut announced = Announced::default();
        for shard in redis::from_redis_value_ref::<Vec<HashMap<String, Value>>>(answer).ok()? {
            let nodes: Vec<HashMap<String, Value>> = read(&shard, "nodes")?;
            let mut primary = None;
            for node in &nodes {
                let Some(address) = self.node(node) else { continue };
                let is_primary = read::<String>(node, "role").is_some_and(|role| role == "master");
                let is_online = read::<String>(node, "health").is_none_or(|health| health == "online");
                if is_primary && (primary.is_none() || is_online) {
                    primary = Some(address.clone());
                }
                announced.members.push(address);
            }
            let slots: Vec<u16> = read(&shard, "slots")?;
            if let Some(primary) = primary {
                let ranges = slots.chunks_exact(2).map(|range| (range[0], range[1], primary.clone()));
                announced.ranges.extend(ranges);
            }
        }
        announced.known()
    }

    /// Reads an answer to `CLUSTER SLOTS`.
    pub(super) fn slots(&self, answer: &Value) -> Option<Announced> {
        let mut announced = Announced::default();
        for line in redis::from_redis_value_ref::<Vec<Vec<Value>>>(answer).ok()? {
            let [from, to, nodes @ ..] = line.as_slice() else { return None };
            let (from, to) = (from_value(from)?, from_value(to)?);
            for (place, node) in nodes.iter().enumerate() {
                let parts: Vec<Value> = from_value(node)?;
                let [host, port, ..] = parts.as_slice() else { return None };
                let host: Option<String> = from_value(host)?;
                let address = self.addresses.announced(host.as_deref(), from_value(port)?, self.asked);
                if place == 0 {
                    announced.ranges.push((from, to, address.clone()));
                }
                if !announced.members.contains(&address) {
                    announced.members.push(address);
                }
            }
        }
        announced.known()
    }

    /// The address of a node of `CLUSTER SHARDS`; `None` where it has no port of the kind that is asked for.
    fn node(&self, node: &HashMap<String, Value>) -> Option<Address> {
        let port = read(node, if self.is_tls { "tls-port" } else { "port" })?;
        let host = read::<Option<String>>(node, "endpoint").flatten();
        Some(self.addresses.announced(host.as_deref(), port, self.asked))
    }
}

fn read<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Option<T> {
    from_value(fields.get(name)?)
}

fn from_value<T: FromRedisValue>(value: &Value) -> Option<T> {
    redis::from_redis_value_ref(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn node(endpoint: Value, port: i64, role: &str, health: &str) -> Value {
        let fields = [
            ("id", text("07c37dfe")),
            ("port", Value::Int(port)),
            ("tls-port", Value::Int(port + 1)),
            ("ip", text("10.0.0.9")),
            ("endpoint", endpoint),
            ("role", text(role)),
            ("health", text(health)),
        ];
        Value::Map(fields.into_iter().map(|(name, value)| (text(name), value)).collect())
    }

    fn shard(slots: &[i64], nodes: Vec<Value>) -> Value {
        let slots = Value::Array(slots.iter().copied().map(Value::Int).collect());
        Value::Map(vec![(text("slots"), slots), (text("nodes"), Value::Array(nodes))])
    }

    fn asked() -> Address {
        Address::new("seed", 7_000)
    }

    #[test]
    fn shards_name_each_primary_and_all_members() {
        let answer = Value::Array(vec![
            shard(
                &[0, 99, 200, 200],
                vec![
                    node(text("fe80::1"), 7_003, "replica", "online"),
                    node(text("10.0.0.1"), 7_000, "master", "fail"),
                    node(text("10.0.0.2"), 7_001, "master", "online"),
                ],
            ),
            shard(&[100, 199], vec![node(Value::Nil, 7_002, "master", "online")]),
            shard(&[201, 300], vec![node(text("?"), 7_004, "replica", "online")]),
        ]);
        let (asked, addresses) = (asked(), AddressMap::default());
        let plain = Reading { asked: &asked, addresses: &addresses, is_tls: false };
        let announced = plain.shards(&answer).expect("it can be read");
        let second = Address::new("10.0.0.2", 7_001);
        assert_eq!(
            announced.ranges,
            [(0, 99, second.clone()), (200, 200, second), (100, 199, Address::new("seed", 7_002))]
        );
        assert_eq!(announced.members.len(), 5);
        assert!(announced.members.contains(&Address::new("fe80::1", 7_003)));
        let encrypted = Reading { is_tls: true, ..plain };
        assert_eq!(encrypted.shards(&answer).expect("it can be read").ranges[2].2, Address::new("seed", 7_003));
    }

    #[test]
    fn slots_name_the_primary_first() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("09dbe9720cda")]);
        let answer = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(5_460), node(text("10.0.0.1"), 1), node(text("10.0.0.2"), 2)]),
            Value::Array(vec![Value::Int(5_461), Value::Int(16_383), node(text(""), 3), node(text("10.0.0.1"), 1)]),
        ]);
        let addresses = AddressMap::new(|host, port| (format!("{host}.example"), port + 10));
        let asked = asked();
        let announced = Reading { asked: &asked, addresses: &addresses, is_tls: false }.slots(&answer);
        let announced = announced.expect("it can be read");
        let first = Address::new("10.0.0.1.example", 11);
        assert_eq!(announced.ranges, [(0, 5_460, first), (5_461, 16_383, Address::new("seed", 3))]);
        assert_eq!(announced.members.len(), 3);
    }

    #[test]
    fn what_is_no_answer_is_not_read() {
        let (asked, addresses) = (asked(), AddressMap::default());
        let reading = Reading { asked: &asked, addresses: &addresses, is_tls: false };
        for strange in [Value::Nil, Value::Int(1), Value::Array(vec![Value::Int(1)])] {
            assert_eq!(reading.shards(&strange), None);
            assert_eq!(reading.slots(&strange), None);
        }
    }

    #[test]
    fn slots_that_no_cluster_has_change_nothing() {
        let primary = Arc::new(Endpoint::parse("redis://host").expect("a URL"));
        let mut map = SlotMap::new();
        map.set(SLOTS, u16::MAX, &primary);
        assert!((0..SLOTS).all(|slot| map.get(slot).is_none()));
        map.set(5, u16::MAX, &primary);
        assert!(map.get(4).is_none() && map.get(5).is_some() && map.get(SLOTS - 1).is_some());
        assert!(map.get(u16::MAX).is_none());
    }
}
