//! Versions with faults that matter here.

use super::facts::Facts;

/// A version, as a server writes it: `7.2.11`.
type Version = (u32, u32, u32);

/// A product's first releases, by branch, without faults that matter here. A branch that is missing and older than
/// another has no such release.
struct Product {
    name: &'static str,
    sound: &'static [Version],
    faults: &'static str,
}

const REDIS: Product = Product {
    name: "Redis",
    sound: &[(6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)],
    faults: "any user who may send can run code on the server by a script (CVE-2025-49844), unless its distribution \
             has mended it",
};

const VALKEY: Product = Product {
    name: "Valkey",
    sound: &[(7, 2, 15), (8, 0, 11), (8, 1, 10), (9, 0, 6), (9, 1, 2)],
    faults: "what is written after a power cut in the middle of a script's writes may be lost at the next restart \
             (valkey-io/valkey#4342)",
};

/// A server whose version has known faults.
pub(super) struct Faulty {
    pub(super) what: String,
    pub(super) faults: &'static str,
    pub(super) advice: String,
}

/// Whether the version that a server tells is one with known faults.
pub(super) fn faulty(facts: &Facts) -> Option<Faulty> {
    let is_valkey = facts.info("server_name").is_some_and(|name| name.eq_ignore_ascii_case("valkey"));
    let valkey = facts.info("valkey_version").or_else(|| facts.info("redis_version").filter(|_| is_valkey));
    let (product, text) = match valkey {
        Some(version) => (VALKEY, version),
        None => (REDIS, facts.info("redis_version")?),
    };
    let version = parse(text)?;
    let branch = |(major, minor, _): Version| (major, minor);
    let sound = product.sound.iter().copied().find(|sound| branch(*sound) >= branch(version))?;
    if version >= sound {
        return None;
    }
    let (major, minor, patch) = sound;
    let name = product.name;
    Some(Faulty {
        what: format!("the version is {name} {text}"),
        faults: product.faults,
        advice: format!("upgrade to {name} {major}.{minor}.{patch} or newer"),
    })
}

fn parse(version: &str) -> Option<Version> {
    let mut parts = version.split(['.', '-']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(info: &str) -> Option<String> {
        faulty(&Facts::said(info, &[])).map(|faulty| faulty.advice)
    }

    #[test]
    fn each_branch_is_led_to_its_own_first_sound_release() {
        for (version, to) in [
            ("6.2.14", Some("6.2.20")),
            ("6.2.20", None),
            // No release of this branch is sound.
            ("7.0.15", Some("7.2.11")),
            ("7.2.4", Some("7.2.11")),
            ("7.4.6", None),
            ("8.2.1", Some("8.2.2")),
            ("8.4.0", None),
            ("255.255.255", None),
            ("unstable", None),
        ] {
            let advice = advice(&format!("redis_version:{version}"));
            assert_eq!(advice, to.map(|to| format!("upgrade to Redis {to} or newer")), "{version}");
        }
    }

    #[test]
    fn valkey_tells_a_version_of_redis_too_and_goes_by_its_own() {
        let nine = "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:9.1.2";
        assert_eq!(advice(nine), None);
        let eight = "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.1.4";
        assert_eq!(advice(eight).as_deref(), Some("upgrade to Valkey 8.1.10 or newer"));
    }
}
