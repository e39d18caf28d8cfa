//! Limiters: what is used of each, in a slot of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actor_core::limiter::{Acquire, Acquired, Held, Limiter, Limiters, Usage};
use actor_core::{BrokerError, Key};
use async_trait::async_trait;

use crate::clock::Clock;
use crate::cluster::slot;
use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::keys::{self, LimiterKeys};
use crate::link::{Link, Route};
use crate::request::Request;
use crate::script::{self, Call};

/// How many permits one call of a script names at most.
const AT_ONCE: usize = 256;

/// What every request here is named.
const REQUEST: &str = "limiter";

/// The limiters of a broker.
pub(crate) struct RedisLimiters {
    commands: Arc<Link>,
    namespace: Box<str>,
    /// By which nothing is decided here: the scripts ask Redis.
    clock: Clock,
}

impl RedisLimiters {
    pub(crate) fn new(commands: Arc<Link>, namespace: &str) -> Self {
        Self { commands, namespace: namespace.into(), clock: Clock::default() }
    }

    fn keys(&self, limiter: &str, key: &Key) -> LimiterKeys {
        LimiterKeys::new(&self.namespace, limiter, key)
    }

    fn to(&self, limiter: &str) -> Route<'_> {
        let slot = match *self.commands {
            Link::One(_) => 0,
            Link::Cluster(..) => slot::of_tag(&keys::limiter_tag(&self.namespace, limiter)),
        };
        self.commands.to_slot(slot, &self.clock)
    }

    async fn ask(&self, limiter: &Limiter, call: Option<Call>) -> Result<Vec<u64>, RequestError> {
        let call = call.ok_or(RequestError::Unsupported("this kind of limiter"))?;
        self.to(limiter.name()).run(Request::calling(REQUEST, call)).await
    }

    /// Asks for permits of one limiter, by key. The answers stand in the permits' order.
    async fn each(
        &self,
        limiter: &str,
        held: &[Held],
        call: impl Fn(&LimiterKeys, &[&Held]) -> Call + Send,
    ) -> Result<Vec<bool>, RequestError> {
        let mut by_key: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        for (at, one) in held.iter().enumerate() {
            by_key.entry(&one.key).or_default().push(at);
        }
        let (mut request, mut places) = (Request::new(REQUEST), Vec::new());
        for (key, all) in by_key {
            let keys = self.keys(limiter, key);
            for some in all.chunks(AT_ONCE) {
                let named: Vec<_> = some.iter().map(|at| &held[*at]).collect();
                request.call(call(&keys, &named));
                places.push(some.to_vec());
            }
        }
        let mut answers = vec![false; held.len()];
        if request.is_empty() {
            return Ok(answers);
        }
        let route = self.to(limiter);
        let found = route.request(&request, ANSWER).await?;
        for (some, answer) in places.into_iter().zip(found) {
            let are_held: Vec<bool> = route.parse(answer?)?;
            some.into_iter().zip(are_held).for_each(|(at, is_held)| answers[at] = is_held);
        }
        Ok(answers)
    }
}

#[async_trait]
impl Limiters for RedisLimiters {
    async fn acquire(&self, acquire: &Acquire) -> Result<Acquired, BrokerError> {
        let (limiter, kind) = (&acquire.limiter, acquire.limiter.kind());
        let call = script::acquire(&self.keys(limiter.name(), &acquire.key), acquire);
        let answer = self.ask(limiter, call).await?;
        let refused = script::acquired(kind, &answer).ok_or_else(|| self.strange(limiter))?;
        Ok(refused.map_or(Acquired::Granted, |retry_after| Acquired::Refused { retry_after }))
    }

    async fn renew(&self, limiter: &str, held: &[Held], lease: Duration) -> Result<Vec<bool>, BrokerError> {
        Ok(self.each(limiter, held, |keys, held| script::renew_permits(keys, held, lease)).await?)
    }

    async fn release(&self, limiter: &str, held: &[Held]) -> Result<Vec<bool>, BrokerError> {
        Ok(self.each(limiter, held, script::release_permits).await?)
    }

    async fn usage(&self, limiter: &Limiter, key: &Key) -> Result<Usage, BrokerError> {
        let kind = limiter.kind();
        let call = script::usage(&self.keys(limiter.name(), key), kind);
        let answer = self.ask(limiter, call).await?;
        let (used, after) = script::used(kind, &answer).ok_or_else(|| self.strange(limiter))?;
        Ok(Usage::new(used, after))
    }
}

impl RedisLimiters {
    fn strange(&self, limiter: &Limiter) -> RequestError {
        self.to(limiter.name()).strange("to a limiter's script")
    }
}

impl fmt::Debug for RedisLimiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiters").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
