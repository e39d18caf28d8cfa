//! Noting that runs begin, which frees the keys that messages hold until then.

use actor_core::delivery::Receipt;
use actor_core::settlement::Settled;

use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::link::Route;
use crate::place::{Place, held};
use crate::queue::Queue;
use crate::request::Request;
use crate::script;

/// Notes it for deliveries of one worker. The answers stand in their order.
pub(crate) async fn begin(
    connections: Route<'_>,
    queue: &Queue,
    worker: &str,
    receipts: &[Receipt],
) -> Vec<Result<Settled, RequestError>> {
    let mut begun: Vec<_> = receipts.iter().map(|_| Ok(Settled::Stale)).collect();
    // A receipt that this broker did not make is nobody's.
    let places = receipts.iter().enumerate();
    let places = places.filter_map(|(index, receipt)| Some((index, (Place::of(receipt)?, held(receipt).0))));
    let (indexes, messages): (Vec<_>, Vec<_>) = places.unzip();
    if messages.is_empty() {
        return begun;
    }
    let mut request = Request::new("begin");
    request.call(script::begin(&queue.keys, worker, &messages));
    let answer = match connections.request(&request, ANSWER).await {
        Ok(mut answers) => answers.pop().unwrap_or_else(|| Err(connections.strange("to begin"))),
        Err(error) => Err(error),
    };
    for (index, answer) in indexes.into_iter().zip(connections.each(answer, messages.len())) {
        begun[index] = answer.and_then(|answer| match answer {
            redis::Value::Int(0) => Ok(Settled::Stale),
            redis::Value::Int(_) => Ok(Settled::Applied),
            _ => Err(connections.strange("to begin")),
        });
    }
    begun
}
