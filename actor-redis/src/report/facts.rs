//! What a server says of itself, asked once and read here.

use std::collections::BTreeMap;
use std::iter;

use redis::{Cmd, Value};

/// The sections of INFO that rules read.
const SECTIONS: [&str; 4] = ["server", "memory", "persistence", "replication"];

/// The settings that rules read, each asked by itself: Redis before 7.0 takes one at a time.
const SETTINGS: [&str; 7] = [
    "save",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "timeout",
    "client-output-buffer-limit",
];

/// What a server said. What it did not say is missing.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    info: String,
    settings: BTreeMap<&'static str, String>,
}

/// What to ask, in this order.
pub(crate) fn questions() -> impl Iterator<Item = Cmd> {
    let info = SECTIONS.into_iter().map(|section| redis::cmd("INFO").arg(section).take());
    info.chain(SETTINGS.into_iter().map(|setting| redis::cmd("CONFIG").arg("GET").arg(setting).take()))
}

impl Facts {
    /// Reads the answers; `None` stands for one that was refused.
    pub(crate) fn read(answers: impl IntoIterator<Item = Option<Value>>) -> Self {
        let mut answers = answers.into_iter().chain(iter::repeat(None));
        let mut facts = Self::default();
        for section in answers.by_ref().take(SECTIONS.len()) {
            facts.info.push_str(&section.as_ref().map(text).unwrap_or_default());
            facts.info.push('\n');
        }
        for (setting, answer) in SETTINGS.into_iter().zip(answers) {
            if let Some(value) = answer.as_ref().and_then(value) {
                facts.settings.insert(setting, value);
            }
        }
        facts
    }

    /// Whether INFO told anything.
    pub(crate) fn has_info(&self) -> bool {
        self.lines().next().is_some()
    }

    /// A field of INFO.
    pub(crate) fn info(&self, name: &str) -> Option<&str> {
        self.lines().find_map(|(field, value)| (field == name).then_some(value))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.info(name)?.parse().ok()
    }

    /// A setting. It must be one that was asked for.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        debug_assert!(SETTINGS.contains(&name), "nobody asks for {name}");
        self.settings.get(name).map(String::as_str)
    }

    /// The settings that CONFIG GET did not tell.
    pub(crate) fn unsaid(&self) -> impl Iterator<Item = &'static str> {
        SETTINGS.into_iter().filter(|setting| !self.settings.contains_key(setting))
    }

    /// The lines of INFO about the replicas of a primary: `slave0:ip=10.0.0.2,port=6379,state=online,lag=0`.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &str> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_replica = move |field: &str| {
            let number = field.strip_prefix("slave").or_else(|| field.strip_prefix("replica"));
            number.is_some_and(is_number)
        };
        self.lines().filter_map(move |(field, value)| is_replica(field).then_some(value))
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.info.lines().filter_map(|line| line.trim_end().split_once(':'))
    }
}

/// A part of a replica's line.
pub(crate) fn part<'a>(replica: &'a str, name: &str) -> Option<&'a str> {
    replica.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// The value of one setting.
fn value(answer: &Value) -> Option<String> {
    match answer {
        Value::Map(pairs) => pairs.first().map(|(_, value)| text(value)),
        Value::Array(words) => words.get(1).map(text),
        _ => None,
    }
}

/// A text that Redis answered.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
impl Facts {
    /// What a server would say: lines of INFO, and settings by name.
    pub(crate) fn said(info: &str, settings: &[(&str, &str)]) -> Self {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let map = |name: &&str| {
            let (name, value) = settings.iter().find(|(known, _)| known == name)?;
            Some(Value::Map(vec![(bulk(name), bulk(value))]))
        };
        let sections = [Some(bulk(info)), None, None, None];
        Self::read(sections.into_iter().chain(SETTINGS.iter().map(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_spell_in_ways_of_their_own_is_read() {
        for info in [
            "# Replication\r\nconnected_slaves:1\r\nslave0:ip=::1,port=6380,state=online,offset=1,lag=0\r\n",
            "connected_slaves:1\nreplica0:ip=::1,port=6380,state=online,offset=1,lag=0,type=main-channel",
        ] {
            let facts = Facts::said(info, &[]);
            let [replica] = facts.replicas().collect::<Vec<_>>()[..] else { panic!("{facts:?}") };
            assert_eq!((part(replica, "ip"), part(replica, "lag")), (Some("::1"), Some("0")));
            assert_eq!(facts.number("connected_slaves"), Some(1));
        }
        let pair = Value::Array(vec![Value::SimpleString("save".into()), Value::SimpleString("1 2".into())]);
        let facts = Facts::read([None, None, None, None, Some(pair)]);
        assert_eq!((facts.setting("save"), facts.has_info()), (Some("1 2"), false));
        assert_eq!(facts.unsaid().count(), SETTINGS.len() - 1);
    }
}
