//! The rules: which fact is a finding. Each reads facts alone, and a fact that is missing is no finding but those of
//! [`unsaid`].

use std::sync::Arc;

use super::facts::{Facts, part};
use super::{Finding, FindingKind, Remedy, Risk, version};

/// How much of `maxmemory` may be used, in percent. Above it a backlog that grows by a quarter fills it.
const USED: u64 = 80;

/// After how many seconds without a confirmation a replica lags. It confirms each second.
const LAG: u64 = 3;

/// The largest answer that a claim may get: 512 messages, of 1 MiB by default.
const LARGEST_ANSWER: u64 = 512 << 20;

/// A finding before it is known of which server.
struct Found(FindingKind, Risk, String, String, Remedy);

pub(super) fn judge(address: &Arc<str>, facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Found> = [
        eviction(facts),
        persistence(facts),
        rewriting(facts),
        memory(facts),
        min_replicas(facts),
        primary_link(facts),
        idle_timeout(facts),
        output_buffer(facts),
        known_faults(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.extend(facts.replicas().filter_map(replica));
    found.extend(unsaid(facts));
    let finding = |Found(kind, risk, what, threat, remedy)| Finding {
        address: Arc::clone(address),
        kind,
        risk,
        what,
        threat,
        remedy,
    };
    found.into_iter().map(finding).collect()
}

fn line(line: &str) -> Remedy {
    Remedy::Line(line.to_owned())
}

fn advice(advice: &str) -> Remedy {
    Remedy::Advice(advice.to_owned())
}

fn eviction(facts: &Facts) -> Option<Found> {
    let policy = facts.info("maxmemory_policy").filter(|policy| *policy != "noeviction")?;
    // Of the keys of a queue, only `parked` has an expiry.
    let (risk, threat) = if policy.starts_with("volatile-") {
        (Risk::Outage, "a full Redis may evict hints that have an expiry, and parked messages then wait for minutes")
    } else {
        (Risk::Loss, "a full Redis may evict messages")
    };
    let what = format!("the eviction policy is {policy}");
    Some(Found(FindingKind::Eviction, risk, what, threat.to_owned(), line("maxmemory-policy noeviction")))
}

fn persistence(facts: &Facts) -> Option<Found> {
    if facts.info("aof_enabled")? == "1" {
        return fsync(facts);
    }
    let (kind, what, threat) = match facts.setting("save") {
        Some("") => (FindingKind::NoPersistence, "nothing is kept on disk", "a restart loses every message".to_owned()),
        Some(points) => (FindingKind::SnapshotsOnly, "there is no append-only file, only snapshots", since(points)),
        None => (
            FindingKind::SnapshotsOnly,
            "there is no append-only file",
            "a crash loses at least what came after the last snapshot".to_owned(),
        ),
    };
    Some(Found(kind, Risk::Loss, what.to_owned(), threat, line("appendonly yes")))
}

/// What snapshots lose, by the points at which they are taken: `3600 1 300 100`, seconds and changes in turns.
fn since(points: &str) -> String {
    let seconds = points.split_whitespace().step_by(2).filter_map(|seconds| seconds.parse::<u64>().ok());
    let (least, most) = seconds.fold((u64::MAX, 0), |(least, most), seconds| (least.min(seconds), most.max(seconds)));
    if most == 0 {
        return "a crash loses what came after the last snapshot".to_owned();
    }
    let busy = if least < most { format!(", {least} s where much is written") } else { String::new() };
    format!("a crash loses what came after the last snapshot, of up to {most} s{busy}")
}

fn fsync(facts: &Facts) -> Option<Found> {
    let (kind, risk, threat, remedy) = match facts.setting("appendfsync")? {
        "everysec" => (
            FindingKind::FsyncEverySecond,
            Risk::LastSeconds,
            "a power cut loses the last 1 s, 2 s where the disk is slow",
            "appendfsync always",
        ),
        "no" => (
            FindingKind::NoFsync,
            Risk::Loss,
            "a power cut loses what the system has not written, about 30 s on Linux",
            "appendfsync everysec",
        ),
        _ => return None,
    };
    let what = format!("`appendfsync` is {}", facts.setting("appendfsync")?);
    Some(Found(kind, risk, what, threat.to_owned(), line(remedy)))
}

fn rewriting(facts: &Facts) -> Option<Found> {
    let is_kept = facts.info("aof_enabled")? == "1" && facts.setting("appendfsync") != Some("no");
    (is_kept && facts.setting("no-appendfsync-on-rewrite")? == "yes").then(|| {
        Found(
            FindingKind::NoFsyncOnRewrite,
            Risk::Loss,
            "`no-appendfsync-on-rewrite` is on".to_owned(),
            "a power cut while a file is rewritten or a snapshot taken loses about 30 s".to_owned(),
            line("no-appendfsync-on-rewrite no"),
        )
    })
}

fn memory(facts: &Facts) -> Option<Found> {
    let most = facts.number("maxmemory")?;
    if most == 0 {
        return Some(Found(
            FindingKind::NoMemoryLimit,
            Risk::Note,
            "there is no `maxmemory`".to_owned(),
            "Redis grows until the system kills it, which is a crash".to_owned(),
            advice("set `maxmemory` to what the machine has for messages (docs/running-redis.md)"),
        ));
    }
    // What Redis compares with its limit.
    let used = facts.number("used_memory")?.saturating_sub(facts.number("mem_not_counted_for_evict").unwrap_or(0));
    let percent = used.saturating_mul(100) / most;
    let twice = used.saturating_mul(2).div_ceil(1 << 20);
    (percent >= USED && facts.info("loading") != Some("1")).then(|| {
        Found(
            FindingKind::LittleMemory,
            Risk::Outage,
            format!("{percent} % of `maxmemory` is used"),
            "a full Redis refuses new messages".to_owned(),
            Remedy::Line(format!("maxmemory {twice}mb")),
        )
    })
}

fn min_replicas(facts: &Facts) -> Option<Found> {
    let replicas = facts.number("connected_slaves").or_else(|| facts.number("connected_replicas"))?;
    let is_off = |name| facts.setting(name) == Some("0");
    let (name, remedy) = match replicas {
        0 => return None,
        _ if is_off("min-replicas-to-write") => ("min-replicas-to-write", "min-replicas-to-write 1"),
        _ if is_off("min-replicas-max-lag") => ("min-replicas-max-lag", "min-replicas-max-lag 10"),
        _ => return None,
    };
    Some(Found(
        FindingKind::MinReplicas,
        Risk::Loss,
        format!("`{name}` is 0, and there are replicas"),
        "a primary that no replica hears goes on acknowledging, and a failover loses all of that".to_owned(),
        line(remedy),
    ))
}

fn replica(replica: &str) -> Option<Found> {
    let name = format!("{}:{}", part(replica, "ip")?, part(replica, "port")?);
    match part(replica, "state")? {
        "online" => {
            let lag = part(replica, "lag")?.parse::<u64>().ok().filter(|lag| *lag >= LAG)?;
            Some(Found(
                FindingKind::ReplicaLag,
                Risk::LastSeconds,
                format!("the replica at {name} has confirmed nothing for {lag} s"),
                format!("a failover to it loses as much as {lag} s, and more each second"),
                advice("see to its machine, its network and its log"),
            ))
        }
        state => Some(Found(
            FindingKind::ReplicaLink,
            Risk::Outage,
            format!("the replica at {name} has not received all data yet ({state})"),
            "it cannot take over".to_owned(),
            advice("wait until it is online; where that does not come, its log says why"),
        )),
    }
}

fn primary_link(facts: &Facts) -> Option<Found> {
    (facts.info("master_link_status")? == "down").then(|| {
        Found(
            FindingKind::ReplicaLink,
            Risk::Outage,
            "this server is a replica, and has lost its primary".to_owned(),
            "it takes no writes, and what it holds grows older".to_owned(),
            advice("give the URL of the primary, or promote this server"),
        )
    })
}

fn idle_timeout(facts: &Facts) -> Option<Found> {
    let seconds = facts.setting("timeout")?.parse::<u64>().ok().filter(|seconds| *seconds > 0)?;
    Some(Found(
        FindingKind::IdleTimeout,
        Risk::Outage,
        format!("`timeout` is {seconds}"),
        format!(
            "a request sent just as Redis closes a connection that was idle for {seconds} s has an unknown outcome"
        ),
        line("timeout 0"),
    ))
}

fn output_buffer(facts: &Facts) -> Option<Found> {
    // `normal 0 0 0 slave 268435456 67108864 60 ..`: a class, its hard and soft limit, and the soft one's seconds.
    let mut words =
        facts.setting("client-output-buffer-limit")?.split_whitespace().skip_while(|word| *word != "normal");
    let mut limit = || words.next()?.parse::<u64>().ok().filter(|limit| (1..LARGEST_ANSWER).contains(limit));
    let (_, hard, soft) = (limit(), limit(), limit());
    let limit = hard.or(soft)?;
    Some(Found(
        FindingKind::OutputBuffer,
        Risk::Outage,
        format!("`client-output-buffer-limit` of normal clients is {limit} bytes"),
        "Redis closes a connection in the middle of a larger answer, and a claim of large messages never arrives"
            .to_owned(),
        line("client-output-buffer-limit normal 0 0 0"),
    ))
}

fn known_faults(facts: &Facts) -> Option<Found> {
    let faulty = version::faulty(facts)?;
    let remedy = Remedy::Advice(faulty.advice);
    Some(Found(FindingKind::Version, Risk::Note, faulty.what, faulty.faults.to_owned(), remedy))
}

/// What the server does not say.
fn unsaid(facts: &Facts) -> impl Iterator<Item = Found> {
    let info = (!facts.has_info()).then(|| {
        Found(
            FindingKind::InfoRefused,
            Risk::Unknown,
            "INFO is refused".to_owned(),
            "unknown are the version (6.2 or newer is needed), the eviction policy, persistence, memory and replicas"
                .to_owned(),
            advice("allow this user `+info`"),
        )
    });
    let missing: Vec<_> = facts.unsaid().collect();
    let is_missing = |name: &str| missing.contains(&name);
    // Without a file, it is known what is lost.
    let of_file = facts.info("aof_enabled") != Some("0")
        && (is_missing("appendfsync") || is_missing("no-appendfsync-on-rewrite"));
    let of_replicas = facts.replicas().next().is_some() && is_missing("min-replicas-to-write");
    let refused = if missing.contains(&"timeout") { "CONFIG GET is refused" } else { "CONFIG GET does not tell all" };
    let config = (!missing.is_empty()).then(|| {
        Found(
            FindingKind::ConfigRefused,
            if of_file || of_replicas { Risk::Unknown } else { Risk::Note },
            refused.to_owned(),
            format!("unknown are {}", missing.join(", ")),
            advice("allow this user `+config|get`; where a provider forbids it, look these up there"),
        )
    });
    info.into_iter().chain(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "redis_version:8.2.2\nmaxmemory:1000\nused_memory:100\nmaxmemory_policy:noeviction\naof_enabled:1\n\
                         role:master\nconnected_slaves:0";
    const SET: [(&str, &str); 7] = [
        ("save", ""),
        ("appendfsync", "always"),
        ("no-appendfsync-on-rewrite", "no"),
        ("min-replicas-to-write", "0"),
        ("min-replicas-max-lag", "10"),
        ("timeout", "0"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
    ];

    /// What is found of a sound server whose INFO and settings are others in these places.
    fn found(info: &[(&str, &str)], set: &[(&'static str, &'static str)]) -> Vec<Finding> {
        let mut said = SOUND.to_owned();
        for (from, to) in info {
            assert!(said.contains(from), "{from}");
            said = said.replace(from, to);
        }
        let changed = |(name, value)| set.iter().copied().find(|(other, _)| *other == name).unwrap_or((name, value));
        judge(&"host:6379".into(), &Facts::said(&said, &SET.map(changed)))
    }

    fn one(info: &[(&str, &str)], set: &[(&'static str, &'static str)]) -> (FindingKind, Risk, String) {
        let found = found(info, set);
        let [finding] = &found[..] else { panic!("{found:#?}") };
        (finding.kind, finding.risk, finding.to_string())
    }

    #[test]
    fn of_a_sound_server_nothing_is_found() {
        assert_eq!(found(&[], &[]), []);
    }

    #[test]
    fn a_policy_that_spares_what_has_no_expiry_loses_no_message() {
        for (policy, risk) in
            [("allkeys-lru", Risk::Loss), ("allkeys-random", Risk::Loss), ("volatile-ttl", Risk::Outage)]
        {
            let (kind, found, text) = one(&[("noeviction", policy)], &[]);
            assert_eq!((kind, found), (FindingKind::Eviction, risk), "{text}");
        }
    }

    #[test]
    fn what_a_crash_loses_is_said_in_seconds() {
        let off = [("aof_enabled:1", "aof_enabled:0")];
        let text = |set| one(&off, &[("save", set)]).2;
        assert!(text("").contains("loses every message"));
        assert!(text("3600 1 300 100 60 10000").contains("up to 3600 s, 60 s where much is written: write"));
        assert!(text("900 1").contains("up to 900 s: write"));
        let (kind, risk, text) = one(&[], &[("appendfsync", "everysec")]);
        assert_eq!((kind, risk), (FindingKind::FsyncEverySecond, Risk::LastSeconds));
        assert!(text.contains("1 s, 2 s"), "{text}");
        let (kind, risk, text) = one(&[], &[("appendfsync", "no"), ("no-appendfsync-on-rewrite", "yes")]);
        assert_eq!((kind, risk), (FindingKind::NoFsync, Risk::Loss));
        assert!(text.contains("30 s"), "{text}");
    }

    #[test]
    fn memory_that_a_limit_does_not_count_leaves_headroom() {
        let full = ("used_memory:100", "used_memory:900");
        assert_eq!(one(&[full], &[]).0, FindingKind::LittleMemory);
        let uncounted = ("used_memory:100", "used_memory:900\nmem_not_counted_for_evict:200");
        assert_eq!(found(&[uncounted], &[]), []);
    }

    #[test]
    fn a_primary_with_replicas_needs_both_of_its_settings() {
        let online = "connected_slaves:1\nslave0:ip=::1,port=1,state=online,offset=9,lag=1";
        let replicas = ("connected_slaves:0", online);
        assert_eq!(one(&[replicas], &[]).0, FindingKind::MinReplicas);
        let one_needed = ("min-replicas-to-write", "1");
        assert_eq!(found(&[replicas], &[one_needed]), []);
        let (kind, _, text) = one(&[replicas], &[one_needed, ("min-replicas-max-lag", "0")]);
        assert_eq!(kind, FindingKind::MinReplicas);
        assert!(text.contains("`min-replicas-max-lag 10`"), "{text}");
    }

    #[test]
    fn a_replica_that_lags_or_is_not_there_yet_is_named() {
        let of = |replica: &str| {
            let all = format!("connected_slaves:1\n{replica}");
            one(&[("connected_slaves:0", all.as_str())], &[("min-replicas-to-write", "1")])
        };
        let (kind, _, text) = of("slave0:ip=10.0.0.2,port=6380,state=online,offset=9,lag=7");
        assert_eq!(kind, FindingKind::ReplicaLag);
        assert!(text.contains("10.0.0.2:6380 has confirmed nothing for 7 s"), "{text}");
        let (kind, _, text) = of("slave0:ip=10.0.0.2,port=6380,state=wait_bgsave,offset=0,lag=0");
        assert_eq!(kind, FindingKind::ReplicaLink);
        assert!(text.contains("wait_bgsave"), "{text}");
        let lost = ("role:master", "role:slave\nmaster_link_status:down");
        assert_eq!(one(&[lost], &[]).0, FindingKind::ReplicaLink);
    }

    #[test]
    fn an_answer_as_large_as_may_be_must_fit() {
        let of = |limit| found(&[], &[("client-output-buffer-limit", limit)]);
        assert_eq!(of("slave 256 64 60 normal 1073741824 0 0"), []);
        for limit in ["normal 268435456 0 0", "normal 0 67108864 60 pubsub 1 1 1"] {
            assert_eq!(of(limit)[0].kind, FindingKind::OutputBuffer, "{limit}");
        }
    }

    #[test]
    fn what_nobody_tells_may_lose_messages_only_where_the_rest_leaves_it_open() {
        let found = |info| judge(&"host:6379".into(), &Facts::said(info, &[]));
        let kinds = |info| found(info).iter().map(|finding| (finding.kind, finding.risk)).collect::<Vec<_>>();
        let config = |risk| (FindingKind::ConfigRefused, risk);
        assert_eq!(kinds(""), [(FindingKind::InfoRefused, Risk::Unknown), config(Risk::Unknown)]);
        assert_eq!(kinds("aof_enabled:1"), [config(Risk::Unknown)]);
        assert_eq!(kinds("aof_enabled:0"), [(FindingKind::SnapshotsOnly, Risk::Loss), config(Risk::Note)]);
    }
}
