//! What a key is made of: the actor's name, and a hash of what its messages are unique by.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Key;

/// A hash of 122 bits: none is found by chance, and none can be made for a given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(Uuid);

/// Of all digests of this library.
const SPACE: Uuid = Uuid::from_u128(0x0198_5a3e_6d7c_7c41_9a6e_2f6b_8d1c_54e7);

impl Digest {
    /// Of a text as it stands.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(Uuid::new_v5(&SPACE, text.as_bytes()))
    }

    /// Of a JSON text. The order of an object's members does not matter: a `HashMap` has none.
    pub(crate) fn of_json(text: &str) -> Self {
        if !text.contains('{') {
            return Self::of_text(text);
        }
        let mut ordered = String::with_capacity(text.len());
        order(text, &mut ordered);
        Self::of_text(&ordered)
    }

    /// The key that messages of this actor have.
    pub(crate) fn key(self, actor: &str) -> Key {
        Key::new(format!("{actor}:{}", self.0.simple())).expect("an actor's name has at most 128 bytes")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Writes the members of each object by their names.
fn order(text: &str, out: &mut String) {
    let separate = |out: &mut String, at| out.push_str(if at > 0 { "," } else { "" });
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) {
        out.push('[');
        for (at, element) in elements.into_iter().enumerate() {
            separate(out, at);
            order(element.get(), out);
        }
        out.push(']');
    } else if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        out.push('{');
        for (at, (name, member)) in members.into_iter().enumerate() {
            separate(out, at);
            out.push_str(&serde_json::Value::String(name).to_string());
            out.push(':');
            order(member.get(), out);
        }
        out.push('}');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_what_json_says_whatever_the_order_of_its_members() {
        let same = |a, b| Digest::of_json(a) == Digest::of_json(b);
        assert!(same(r#"[{"a":1,"b":[{"d":"{","c":2}]}]"#, r#"[{"b":[{"c":2,"d":"{"}],"a":1}]"#));
        assert!(!same(r#"[{"a":1}]"#, r#"[{"a":2}]"#));
        assert!(!same(r"[{},[1,2]]", r"[{},[2,1]]"));
        assert!(!same("[340282366920938463463374607431768211455]", "[340282366920938463463374607431768211454]"));
    }

    /// Keys are stored: another hash would let two messages of one key live, from before and after an update.
    #[test]
    fn a_key_is_the_same_in_every_version() {
        let key = Digest::of_json("[17]").key("reindex");
        assert_eq!(key.as_str(), "reindex:24771230490459aca767fc9fc742cf3d");
    }
}
