//! What a server's settings risk, and the lines that end it.

mod facts;
mod inspect;
mod rules;
mod version;

use std::fmt;
use std::sync::Arc;

use self::facts::Facts;
pub(crate) use self::facts::text;
pub(crate) use self::inspect::{Inspection, first_met};

/// What a report puts before a line that goes on with a finding.
const INDENT: &str = "                ";

/// What [`RedisBroker::check`](crate::RedisBroker::check) found: the gravest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    findings: Vec<Finding>,
}

/// One setting or state of a server, and what it risks.
///
/// Its text is one line: what is, what that risks, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    address: Arc<str>,
    kind: FindingKind,
    risk: Risk,
    what: String,
    threat: String,
    remedy: Remedy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Remedy {
    Line(String),
    Advice(String),
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// An eviction policy other than `noeviction`.
    Eviction,
    /// Nothing is kept on disk.
    NoPersistence,
    /// There is no append-only file: at best snapshots.
    SnapshotsOnly,
    /// The append-only file goes to the disk when the system likes: `appendfsync no`.
    NoFsync,
    /// The append-only file does not go to the disk while another is written: `no-appendfsync-on-rewrite yes`.
    NoFsyncOnRewrite,
    /// The append-only file goes to the disk once a second: `appendfsync everysec`.
    FsyncEverySecond,
    /// Most of `maxmemory` is used.
    LittleMemory,
    /// There is no `maxmemory`.
    NoMemoryLimit,
    /// A primary with replicas goes on without them: no `min-replicas-to-write`, or no `min-replicas-max-lag`.
    MinReplicas,
    /// A replica has confirmed nothing for a while.
    ReplicaLag,
    /// A replica has not received all data yet, or this one has lost its primary.
    ReplicaLink,
    /// The server closes idle connections: `timeout`.
    IdleTimeout,
    /// The server may cut off large answers: `client-output-buffer-limit` of normal clients.
    OutputBuffer,
    /// A version with known faults.
    Version,
    /// INFO is refused.
    InfoRefused,
    /// CONFIG GET is refused, or does not tell all that was asked for.
    ConfigRefused,
}

/// What a [`Finding`] endangers, from the least to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Risk {
    /// Nothing by itself: worth knowing.
    Note,
    /// Messages may wait, or not be taken, or have an unknown outcome. Acknowledged ones are kept.
    Outage,
    /// Acknowledged messages of the last seconds before a crash or failover. The finding says of how many seconds.
    LastSeconds,
    /// The server does not say whether acknowledged messages may be lost.
    Unknown,
    /// Acknowledged messages, without such a bound.
    Loss,
}

impl ServerReport {
    fn of(address: &Arc<str>, facts: &Facts) -> Self {
        let mut report = Self::default();
        report.add(Self { findings: rules::judge(address, facts) });
        report
    }

    /// Adds what was found of another server.
    fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.risk));
    }

    /// What was found. Nothing, where all is as it should be.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The first finding of this kind.
    #[must_use]
    pub fn find(&self, kind: FindingKind) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == kind)
    }

    /// What [`strict`](crate::RedisBrokerBuilder::strict) refuses.
    pub fn refused_by_strict(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_refused_by_strict())
    }
}

impl Finding {
    /// The server's address, as errors show it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// What it endangers.
    #[must_use]
    pub fn risk(&self) -> Risk {
        self.risk
    }

    /// The line to write into `redis.conf`. `CONFIG SET` takes the same, its value as one argument. `None` where no
    /// setting ends it: its text then says what does.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        match &self.remedy {
            Remedy::Line(line) => Some(line),
            Remedy::Advice(_) => None,
        }
    }

    /// Whether acknowledged messages may be lost by it, as far as the server says: [`Risk::LastSeconds`] and above.
    #[must_use]
    pub fn can_lose_messages(&self) -> bool {
        self.risk >= Risk::LastSeconds
    }

    /// Whether [`strict`](crate::RedisBrokerBuilder::strict) refuses a server for it: [`Risk::Unknown`] and above.
    #[must_use]
    pub fn is_refused_by_strict(&self) -> bool {
        self.risk >= Risk::Unknown
    }

    /// Whether it is worth a warning at connect. `everysec` is what the documentation recommends: a warning at each
    /// start would teach people to skip warnings.
    fn is_warned_of(&self) -> bool {
        self.risk > Risk::Note && self.kind != FindingKind::FsyncEverySecond
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.what, self.threat, self.remedy)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "write `{line}`"),
            Self::Advice(advice) => f.write_str(advice),
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Outage => "outage",
            Self::LastSeconds => "last seconds",
            Self::Unknown => "unknown",
            Self::Loss => "loss",
        })
    }
}

/// A line for each server, and below it what was found there, what that risks, and what to do.
impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("nothing found");
        }
        let of = |address| self.findings.iter().filter(move |finding| finding.address() == address);
        let is_first_there = |(at, finding): &(usize, &Finding)| {
            self.findings[..*at].iter().all(|before| before.address() != finding.address())
        };
        for (at, first) in self.findings.iter().enumerate().filter(is_first_there) {
            write!(f, "{}redis at {}", if at == 0 { "" } else { "\n" }, first.address())?;
            for finding in of(first.address()) {
                write!(f, "\n  {:<12}  {}", finding.risk, finding.what)?;
                write!(f, "\n{INDENT}{}\n{INDENT}{}", finding.threat, finding.remedy)?;
            }
        }
        Ok(())
    }
}

/// Findings in one line, as in a log.
struct Joined<'a>(&'a [&'a Finding]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.0.iter().enumerate() {
            write!(f, "{}{finding}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: FindingKind, risk: Risk, remedy: Remedy) -> Finding {
        Finding { address: "host:6379".into(), kind, risk, what: "it".to_owned(), threat: "breaks".to_owned(), remedy }
    }

    #[test]
    fn a_report_reads_well_in_a_terminal() {
        let loss = finding(FindingKind::Eviction, Risk::Loss, Remedy::Line("a b".to_owned()));
        let note = finding(FindingKind::Version, Risk::Note, Remedy::Advice("upgrade".to_owned()));
        let report = ServerReport { findings: vec![loss, note] };
        let shown = "redis at host:6379
  loss          it
                breaks
                write `a b`
  note          it
                breaks
                upgrade";
        assert_eq!(report.to_string(), shown);
        assert_eq!(report.findings()[0].to_string(), "it: breaks: write `a b`");
        assert_eq!(ServerReport::default().to_string(), "nothing found");
    }

    #[test]
    fn what_was_found_of_each_member_stands_together() {
        let of = |address: &str, risk, what: &str| Finding {
            address: address.into(),
            what: what.to_owned(),
            ..finding(FindingKind::Version, risk, Remedy::Advice("upgrade".to_owned()))
        };
        let mut report = ServerReport::default();
        report.add(ServerReport { findings: vec![of("one:1", Risk::Outage, "a"), of("one:1", Risk::Note, "b")] });
        report.add(ServerReport { findings: vec![of("two:2", Risk::Loss, "c"), of("two:2", Risk::Note, "d")] });
        let whats: String = report.findings().iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(whats, "cabd");
        let shown = report.to_string();
        let lines: Vec<_> = shown.lines().filter(|line| !line.starts_with(INDENT)).map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "redis at two:2",
                "  loss          c",
                "  note          d",
                "redis at one:1",
                "  outage        a",
                "  note          b"
            ]
        );
    }

    #[test]
    fn strict_refuses_what_has_no_bound_and_what_nobody_knows() {
        let refused = |risk| finding(FindingKind::Eviction, risk, Remedy::Line(String::new())).is_refused_by_strict();
        assert!(refused(Risk::Loss) && refused(Risk::Unknown));
        assert!(!refused(Risk::LastSeconds) && !refused(Risk::Outage) && !refused(Risk::Note));
    }
}
