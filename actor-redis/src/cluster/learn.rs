//! Learning from the members which of them serves which slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Cluster;
use super::address::AddressMap;
use super::map::{Announced, Reading};
use crate::connect;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};

/// How long a member may take before the next one is asked too. One that is gone without a sign must not hold up
/// what the others know.
const NEXT: Duration = Duration::from_millis(200);
/// How long learning may take.
const ALL: Duration = Duration::from_secs(3);
/// How soon it is learnt again at the earliest.
const AGAIN: Duration = Duration::from_millis(200);
/// The same where requests go on meanwhile.
const BESIDE: Duration = Duration::from_secs(1);
/// The same where a member does not answer, or cannot serve what it should.
const SUSPECTED: Duration = Duration::from_millis(500);
/// How old what was learnt may become.
const OLD: Duration = Duration::from_secs(60);

/// When it was learnt last.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// When somebody last began to.
    began: Option<Instant>,
    /// Why there is nothing yet, and when to try again.
    pub(super) failed: Option<(Instant, Arc<Error>)>,
}

/// What one member answered.
struct Learnt {
    announced: Announced,
    /// Whether it believes that the cluster works. One that is cut off from the others does not.
    is_whole: bool,
    epoch: u64,
}

impl Learnt {
    /// Whether no other member can name more. Of one that is cut off, what it names may be outdated.
    fn is_enough(&self) -> bool {
        self.is_whole && self.announced.is_complete()
    }

    /// Orders what members know. A member that is wrongly named for a slot redirects to the right one; a slot without a
    /// member leads nowhere.
    fn worth(&self) -> (bool, u32, u64) {
        (self.is_whole, self.announced.served(), self.epoch)
    }
}

impl Cluster {
    /// Learns, where nothing is known yet.
    pub(super) async fn known(&self) -> Result<(), Arc<Error>> {
        if self.state().map.is_some() {
            return Ok(());
        }
        if let Some((again_at, error)) = &self.learning().failed
            && Instant::now() < *again_at
        {
            return Err(Arc::clone(error));
        }
        self.learning().began = Some(Instant::now());
        self.learn().await.map_err(|error| {
            let error = Arc::new(error);
            self.learning().failed = Some((Instant::now() + AGAIN, Arc::clone(&error)));
            error
        })
    }

    /// Learns again, unless somebody began to a moment ago. What cannot be learnt stays as it was.
    pub(super) async fn learn_again(&self) {
        if self.begins(AGAIN) {
            let _ = self.learn().await;
        }
    }

    /// Has it learnt again beside what is under way, where commands were redirected.
    pub(super) fn doubt(&self) {
        self.learn_beside(BESIDE);
    }

    /// The same where a member does not answer, or cannot serve what it should: another may have taken its place.
    pub(super) fn suspect(&self) {
        self.learn_beside(SUSPECTED);
    }

    /// Has it learnt again where that was long ago.
    pub(super) fn refresh(&self) {
        self.learn_beside(OLD);
    }

    fn learn_beside(&self, after: Duration) {
        if let (true, Some(cluster)) = (self.begins(after), self.this.upgrade()) {
            tokio::spawn(async move { cluster.learn().await });
        }
    }

    /// Whether nobody began for so long: then the caller does.
    fn begins(&self, after: Duration) -> bool {
        let mut learning = self.learning();
        let is_due = learning.began.is_none_or(|began| began.elapsed() >= after);
        if is_due {
            learning.began = Some(Instant::now());
        }
        is_due
    }

    /// Asks the members, one after the other, until one knows who serves every slot. Where none does, what the best of
    /// them knows is taken: slots may be left to nobody.
    async fn learn(&self) -> Result<(), Error> {
        let mut members = self.members();
        let mut next = 0;
        let mut asked = JoinSet::new();
        let mut best: Option<Learnt> = None;
        let mut failure = None;
        let learn = async {
            loop {
                if let Some(member) = members.get(next) {
                    asked.spawn(ask(Arc::clone(member), self.addresses.clone(), self.is_tls));
                    next += 1;
                }
                let are_all_asked = next == members.len();
                let answer = match timeout(NEXT, asked.join_next()).await {
                    Ok(Some(answer)) => answer,
                    Ok(None) => break,
                    Err(_) if !are_all_asked => continue,
                    // Those that are silent might name more, and nothing waits for them.
                    Err(_) if best.as_ref().is_some_and(|best| best.is_whole) => break,
                    // What is left is waited for.
                    Err(_) => match asked.join_next().await {
                        Some(answer) => answer,
                        None => break,
                    },
                };
                match answer {
                    Ok(Ok(learnt)) => {
                        let is_enough = learnt.is_enough();
                        if !learnt.announced.is_complete() {
                            // It may name others that know more.
                            self.add(&mut members, &learnt.announced.members);
                        }
                        if best.as_ref().is_none_or(|best| best.worth() < learnt.worth()) {
                            best = Some(learnt);
                        }
                        if is_enough {
                            break;
                        }
                    }
                    Ok(Err(error)) => failure = Some(error),
                    // The runtime ends.
                    Err(_) => {}
                }
            }
        };
        let _ = timeout(ALL, learn).await;
        match (best, failure) {
            (Some(learnt), _) => {
                self.learnt(learnt.announced);
                Ok(())
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(Kind::NobodyAnswers { address: self.template.address.to_string() }.into()),
        }
    }
}

/// Asks one member, on a connection that is closed then: those of requests may not answer.
async fn ask(member: Arc<Endpoint>, addresses: AddressMap, is_tls: bool) -> Result<Learnt, Error> {
    let live = connect::connect(&member, 0, &[]).await?;
    let mut connection = live.connection;
    let command = |of| redis::cmd("CLUSTER").arg(of).take();
    let mut pipeline = Pipeline::new();
    pipeline.add_command(command("INFO")).add_command(command("SHARDS"));
    let failed = |source| member.unconnected(&member.address, source);
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await.map_err(failed)?;
    let [info, shards] = answers.as_slice() else { return Err(strange(&member)) };
    if let Value::ServerError(refusal) = shards
        && refusal.details().is_some_and(|details| details.contains("cluster support disabled"))
    {
        return Err(Kind::NoCluster { address: member.address.to_string() }.into());
    }
    let Some(asked) = member.host() else { return Err(strange(&member)) };
    let reading = Reading { asked: &asked, addresses: &addresses, is_tls };
    let announced = match shards {
        // Before 7.0 there is none, and a user may be allowed only the other.
        Value::ServerError(_) => match connection.send_packed_command(&command("SLOTS")).await.map_err(failed)? {
            Value::ServerError(refusal) => return Err(failed(refusal.into())),
            slots => reading.slots(&slots),
        },
        shards => reading.shards(shards),
    };
    let announced = announced.ok_or_else(|| strange(&member))?;
    let info = redis::from_redis_value_ref::<String>(info).unwrap_or_default();
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let is_whole = field("cluster_state").is_none_or(|state| state.trim() == "ok");
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0);
    Ok(Learnt { announced, is_whole, epoch })
}

fn strange(member: &Endpoint) -> Error {
    Kind::StrangeCluster { address: member.address.to_string() }.into()
}
