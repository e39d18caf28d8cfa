//! The thread that asks the Sentinels, and listens to one of them for promotions.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Watched;
use super::ask::{Address, Votes, ask, connect};

/// Who asks within this time after another shares the next question: all connections break together.
const GATHER: Duration = Duration::from_millis(10);
/// How many may share a question.
const TOGETHER: usize = 1_024;
/// What a Sentinel says when it knows that another server was promoted. The one that leads the failover says it last,
/// once all replicas follow.
const SWITCH: &str = "+switch-master";
/// What the one that leads the failover says at once.
const PROMOTED: &str = "+promoted-slave";
/// After which quiet a Sentinel that is listened to is asked whether it is still there: its host may be gone
/// together with the primary's. Shorter than Sentinels need to notice that.
const QUIET: Duration = Duration::from_secs(2);
/// The first and the longest pause before another Sentinel is listened to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long one must have been listened to for pauses to begin anew.
const LASTED: Duration = Duration::from_secs(10);

/// How many answers to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// As many as decide.
    Majority,
    All,
}

/// Somebody who wants to know where the primary is.
pub(super) struct Asker {
    pub(super) want: Want,
    pub(super) answer: oneshot::Sender<Votes>,
}

/// Starts the thread. It ends when nobody can ask it any more.
pub(super) fn start(watched: Arc<Watched>, asked: mpsc::UnboundedReceiver<Asker>) -> io::Result<()> {
    let serve = move || {
        // Without a runtime the questions are dropped, and whoever asked says why.
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            tokio::select! {
                () = answer_all(&watched, asked) => {}
                () = listen(&watched) => {}
            }
        });
    };
    thread::Builder::new().name("actor-redis-sentinel".to_owned()).spawn(serve)?;
    Ok(())
}

async fn answer_all(watched: &Arc<Watched>, mut asked: mpsc::UnboundedReceiver<Asker>) {
    let mut askers = Vec::new();
    while asked.recv_many(&mut askers, TOGETHER).await > 0 {
        // Beside the question before: that may be held up by a Sentinel that does not answer.
        tokio::spawn(answer(Arc::clone(watched), mem::take(&mut askers)));
        sleep(GATHER).await;
    }
}

/// Asks all Sentinels, and answers everybody as soon as he can be.
async fn answer(watched: Arc<Watched>, mut askers: Vec<Asker>) {
    let mut asking = JoinSet::new();
    for sentinel in 0..watched.sentinels.len() {
        let watched = Arc::clone(&watched);
        asking.spawn(async move { (sentinel, ask(&watched.sentinels[sentinel], watched.name()).await) });
    }
    let mut votes = Votes::of(watched.sentinels.len());
    while let Some(Ok(said)) = asking.join_next().await {
        votes.said.push(said);
        if watched.is_decided(&votes) {
            // An error means that the asker has given up.
            let decided = askers.extract_if(.., |asker| asker.want == Want::Majority);
            decided.for_each(|asker| _ = asker.answer.send(votes.clone()));
            if askers.is_empty() {
                return;
            }
        }
    }
    askers.into_iter().for_each(|asker| _ = asker.answer.send(votes.clone()));
}

/// Listens to one Sentinel after the other.
async fn listen(watched: &Arc<Watched>) {
    let count = watched.sentinels.len();
    // Many processes do not all listen to the same.
    let mut sentinel = fastrand::usize(..count);
    let mut failures = 0;
    loop {
        let began = Instant::now();
        if let Err(error) = listen_to(watched, sentinel).await {
            let address = &*watched.sentinels[sentinel].address;
            tracing::debug!(address, %error, "a Sentinel cannot be listened to");
        }
        failures = if began.elapsed() < LASTED { failures + 1 } else { 0 };
        sentinel = (sentinel + 1) % count;
        sleep(pause(failures)).await;
    }
}

/// Listens to a Sentinel until it is gone.
async fn listen_to(watched: &Arc<Watched>, sentinel: usize) -> RedisResult<()> {
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut connection = connect(&watched.sentinels[sentinel], events).await?;
    connection.subscribe(&[SWITCH, PROMOTED]).await?;
    // Of promotions while nobody listened, no Sentinel tells again.
    let (vote, votes) = oneshot::channel();
    answer(Arc::clone(watched), vec![Asker { want: Want::All, answer: vote }]).await;
    if let Ok(votes) = votes.await {
        watched.catch_up(&votes);
    }
    loop {
        match timeout(QUIET, heard.recv()).await {
            Ok(Some(PushInfo { kind: PushKind::Disconnection, .. }) | None) => return Ok(()),
            Ok(Some(event)) => {
                if let Some(former) = former(event, watched.name()) {
                    watched.switched(former);
                }
            }
            // Any answer will do.
            Err(_) => drop(connection.send_packed_command(&redis::cmd("PING")).await?),
        }
    }
}

/// Where the primary called `name` was before, if an event says that another server was promoted.
fn former(event: PushInfo, name: &str) -> Option<Address> {
    let (channel, text): (String, String) = redis::from_redis_value(Value::Array(event.data)).ok()?;
    let words: Vec<_> = text.split(' ').collect();
    let (of, host, port) = match (event.kind, &*channel, &words[..]) {
        (PushKind::Message, SWITCH, [of, host, port, _to, _its_port]) => (of, host, port),
        (PushKind::Message, PROMOTED, [_slave, _its_name, _to, _its_port, "@", of, host, port]) => (of, host, port),
        _ => return None,
    };
    let address = Address { host: (*host).to_owned(), port: port.parse().ok()? };
    (*of == name).then_some(address)
}

/// How long to pause after this many failures.
fn pause(failures: u32) -> Duration {
    PAUSE.1.min(PAUSE.0 * 2u32.saturating_pow(failures.min(16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: PushKind, words: &[&str]) -> PushInfo {
        PushInfo { kind, data: words.iter().map(|word| Value::BulkString(word.as_bytes().to_vec())).collect() }
    }

    #[test]
    fn a_promotion_is_read_where_it_is_of_this_primary() {
        let said = |kind, words: &[&str]| former(event(kind, words), "m").map(|former| former.to_string());
        let heard = |words: &[&str]| said(PushKind::Message, words);
        assert_eq!(heard(&[SWITCH, "m 10.0.0.1 7 host.internal 8"]).as_deref(), Some("10.0.0.1:7"));
        let promoted = "slave 10.0.0.2:8 10.0.0.2 8 @ m host.internal 7";
        assert_eq!(heard(&[PROMOTED, promoted]).as_deref(), Some("host.internal:7"));
        for text in ["other 10.0.0.1 7 10.0.0.2 8", "m 10.0.0.1 7 10.0.0.2", "m 10.0.0.1 x 10.0.0.2 8", "m", ""] {
            assert_eq!(heard(&[SWITCH, text]), None, "{text}");
        }
        assert_eq!(heard(&[PROMOTED, &promoted.replace('m', "n")]), None);
        assert_eq!(heard(&["+sdown", "m 10.0.0.1 7 10.0.0.2 8"]), None);
        assert_eq!(said(PushKind::Subscribe, &[SWITCH, "m 10.0.0.1 7 10.0.0.2 8"]), None);
        assert_eq!(heard(&[SWITCH]), None);
    }

    #[test]
    fn pauses_grow_to_seconds() {
        assert!(pause(0) <= Duration::from_millis(100) && pause(1) > pause(0));
        assert_eq!(pause(u32::MAX), PAUSE.1);
    }
}
