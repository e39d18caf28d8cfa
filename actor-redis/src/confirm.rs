//! What confirms that a message is as durable as it should be: `WAIT` and `WAITAOF`, and what they answer.
//!
//! Both are about what their own connection wrote before. In a script or a transaction they would not wait.

use std::time::Duration;

use actor_core::{BrokerError, Durability};
use redis::{Pipeline, RedisError, ServerError, Value};

use crate::error::RequestError;
use crate::request::Answer;

/// How long replicas may take to confirm. They answer at once where nothing is wrong.
const REPLICATES_WITHIN: Duration = Duration::from_secs(1);
/// How long the server may take to write to its disk. With `appendfsync everysec` it does so once a second, and every
/// two seconds where the disk is slow.
const SYNCS_WITHIN: Duration = Duration::from_secs(3);

/// What has to be confirmed of a message, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    replicas: u32,
    pub(crate) sync: bool,
}

impl Need {
    /// `None` where this version does not know what is asked for.
    pub(crate) fn of(durability: Durability) -> Option<Self> {
        match durability {
            Durability::Stored => Some(Self::default()),
            // Redis takes no larger number.
            Durability::Replicated(replicas) => Some(Self { replicas: replicas.min(i32::MAX as u32), sync: false }),
            Durability::Synced => Some(Self { replicas: 0, sync: true }),
            _ => None,
        }
    }

    /// What covers both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { replicas: self.replicas.max(other.replicas), sync: self.sync || other.sync }
    }

    /// What to ask, behind the commands that store.
    pub(crate) fn questions(self) -> Pipeline {
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut questions = Pipeline::new();
        if self.replicas > 0 {
            questions.cmd("WAIT").arg(self.replicas).arg(ms(REPLICATES_WITHIN));
        }
        if self.sync {
            questions.cmd("WAITAOF").arg((1, 0, ms(SYNCS_WITHIN)));
        }
        questions
    }

    /// How long the answers may wait, together.
    pub(crate) fn limit(self) -> Duration {
        let replicates = if self.replicas > 0 { REPLICATES_WITHIN } else { Duration::ZERO };
        replicates + if self.sync { SYNCS_WITHIN } else { Duration::ZERO }
    }
}

/// What was confirmed of all that a request stored.
#[derive(Debug)]
pub(crate) struct Confirmed {
    replicas: Answer,
    sync: Answer,
}

impl Confirmed {
    /// Takes the answers to the questions of `need`, or why there are none.
    pub(crate) fn new(need: Need, answers: Result<Vec<Answer>, RequestError>) -> Self {
        let mut answers = match answers {
            Ok(answers) => answers.into_iter(),
            Err(error) => return Self { replicas: Err(error.clone()), sync: Err(error) },
        };
        let mut to = |is_asked: bool| if is_asked { answers.next().unwrap_or(Ok(Value::Nil)) } else { Ok(Value::Nil) };
        Self { replicas: to(need.replicas > 0), sync: to(need.sync) }
    }

    /// Whether a message that is stored is as durable as it should be.
    pub(crate) fn judge(&self, need: Need, address: &str) -> Result<(), BrokerError> {
        if need.replicas > 0 {
            let asked = need.replicas;
            match &self.replicas {
                Ok(Value::Int(replicas)) if *replicas >= i64::from(asked) => {}
                Ok(Value::Int(replicas)) => {
                    return Err(BrokerError::stored(format!(
                        "stored, not replicated: {replicas} of {asked} replicas of redis at {address} confirmed it \
                         within {REPLICATES_WITHIN:?}"
                    )));
                }
                answer => return Err(undecided("replicated", address, answer)),
            }
        }
        if need.sync {
            match &self.sync {
                Ok(Value::Array(synced)) if matches!(synced[..], [Value::Int(1..), ..]) => {}
                Ok(Value::Array(synced)) if matches!(synced[..], [Value::Int(0), ..]) => {
                    return Err(BrokerError::stored(format!(
                        "stored, not synced: redis at {address} did not write it to its disk within {SYNCS_WITHIN:?}"
                    )));
                }
                answer => return Err(undecided("synced", address, answer)),
            }
        }
        Ok(())
    }
}

/// Why it is not known how durable a message is that was stored.
fn undecided(what: &str, address: &str, answer: &Answer) -> BrokerError {
    let perhaps_not =
        |why: &str| BrokerError::stored(format!("stored, and perhaps not {what}: redis at {address} {why}"));
    match answer {
        Ok(_) | Err(RequestError::Strange { .. }) => perhaps_not("answered what this version does not understand"),
        Err(RequestError::Answer { source, .. }) => {
            let why =
                advice(source).map_or_else(|| format!("refused to confirm it ({})", source.code()), str::to_owned);
            BrokerError::stored(format!("stored, not {what}: redis at {address} {why}"))
                .caused_by(RedisError::from(source.clone()))
        }
        Err(RequestError::NoAnswer { source, .. }) => {
            perhaps_not("did not confirm it before the connection broke").caused_by(source.clone())
        }
        Err(error) => perhaps_not(&format!("was not asked: {error}")),
    }
}

/// What a refusal to confirm means, and what a person should do.
fn advice(refusal: &ServerError) -> Option<&'static str> {
    let says = |text| refusal.details().is_some_and(|details| details.contains(text));
    if refusal.code() == "NOPERM" {
        Some("does not allow this user WAIT or WAITAOF: see the commands in docs/redis-keys.md")
    } else if says("appendonly is disabled") {
        Some("keeps no append-only file: set `appendonly yes`")
    } else if says("unknown command") {
        Some("does not know WAITAOF: 7.2 or newer is needed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ANSWER;

    const ONE: Need = Need { replicas: 1, sync: false };
    const TWO: Need = Need { replicas: 2, sync: false };
    const SYNCED: Need = Need { replicas: 0, sync: true };

    fn answer(text: &str) -> Answer {
        match redis::parse_redis_value(text.as_bytes()) {
            Ok(Value::ServerError(source)) => Err(RequestError::Answer { address: "host:6379".into(), source }),
            answer => Ok(answer.unwrap()),
        }
    }

    /// What is said of a message that needs this, after these answers to the questions of `asked`.
    fn said(need: Need, asked: Need, answers: &[&str]) -> String {
        let answers = answers.iter().map(|text| answer(text)).collect();
        match Confirmed::new(asked, Ok(answers)).judge(need, "host:6379") {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                assert!(error.is_stored() && !error.is_unknown() && !error.is_transient(), "{error}");
                error.to_string()
            }
        }
    }

    #[test]
    fn each_message_is_judged_by_what_it_asked_for() {
        assert_eq!(ONE.and(SYNCED).and(TWO), Need { replicas: 2, sync: true });
        let all = TWO.and(SYNCED);
        let answers = [":1\r\n", "*2\r\n:1\r\n:0\r\n"];
        for need in [Need::default(), ONE, SYNCED] {
            assert_eq!(said(need, all, &answers), "ok");
        }
        assert!(said(TWO, all, &answers).starts_with("stored, not replicated: 1 of 2 replicas"));
    }

    #[test]
    fn an_answer_to_waitaof_is_read() {
        for (synced, text) in [
            ("*2\r\n:1\r\n:0\r\n", "ok"),
            ("*2\r\n:1\r\n:3\r\n", "ok"),
            ("*2\r\n:0\r\n:3\r\n", "did not write it to its disk within 3s"),
            ("*0\r\n", "does not understand"),
            (":1\r\n", "does not understand"),
            ("_\r\n", "does not understand"),
            (
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
                "keeps no append-only file: set `appendonly yes`",
            ),
            ("-ERR unknown command 'WAITAOF', with args beginning with: '1'\r\n", "7.2 or newer is needed"),
            ("-NOPERM User a has no permissions to run the 'waitaof' command\r\n", "docs/redis-keys.md"),
            ("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n", "refused to confirm it (UNBLOCKED)"),
        ] {
            let said = said(SYNCED, SYNCED, &[synced]);
            assert!(said.contains(text), "{said}");
        }
        assert!(said(SYNCED, SYNCED, &[]).contains("does not understand"), "an answer is missing");
    }

    #[test]
    fn a_wait_is_shorter_than_an_answer_may_take() {
        assert!(TWO.and(SYNCED).limit() < ANSWER);
        assert_eq!(Need::of(Durability::Stored), Need::of(Durability::Replicated(0)));
    }

    #[test]
    fn one_question_of_each_kind_covers_all() {
        let asked = TWO.and(SYNCED).and(ONE).questions();
        let asked = String::from_utf8(asked.get_packed_pipeline()).unwrap();
        let words: Vec<_> = asked.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect();
        assert_eq!(words, ["WAIT", "2", "1000", "WAITAOF", "1", "0", "3000", ""]);
        assert!(Need::default().questions().is_empty());
    }
}
