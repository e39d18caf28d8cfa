//! What a worker asks of all its queues at once: in one request to each server that has some of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::error::RequestError;
use crate::link::Link;
use crate::queue::{Queue, Queues};
use crate::request::{Answer, Request};

/// What one queue was answered: to each of its commands, or to none.
pub(crate) type Answers = Result<Vec<Answer>, RequestError>;

/// What all queues were answered.
pub(crate) struct Answered {
    /// In the queues' order.
    pub(crate) answers: Vec<Answers>,
    /// When the last server answered that did.
    pub(crate) at: Option<Instant>,
}

/// What to ask.
pub(crate) struct Spread<'a, W> {
    /// What the failpoints are named after.
    pub(crate) name: &'static str,
    pub(crate) queues: &'a [Arc<Queue>],
    /// Writes what is asked of a queue: as many commands for each.
    pub(crate) write: W,
    /// Adds the queues to the set of them too, where it is given.
    pub(crate) announce: Option<&'a Queues>,
    /// How long each server may take.
    pub(crate) within: Duration,
}

impl<W: Fn(&Queue, &mut Request) + Sync> Spread<'_, W> {
    /// Asks each server once.
    pub(crate) async fn ask(&self, link: &Link) -> Answered {
        match link {
            _ if self.queues.is_empty() => Answered { answers: Vec::new(), at: None },
            Link::One(connections) => {
                let all: Vec<_> = (0..self.queues.len()).collect();
                let mut request = self.request(&all);
                // Last, since a user may be forbidden this key: then the queue is only not listed.
                self.write_announcements(&mut request);
                let answers = self.each(connections.request(&request, self.within).await, all.len());
                Answered { answers, at: Some(Instant::now()) }
            }
            Link::Cluster(cluster, _) => Box::pin(self.ask_cluster(cluster, link)).await,
        }
    }

    /// Asks all members side by side, so that one that is away holds up no other.
    async fn ask_cluster(&self, cluster: &Cluster, link: &Link) -> Answered {
        if let Err(error) = cluster.ready().await {
            let answers = self.queues.iter().map(|_| Err(RequestError::NotConnected(Arc::clone(&error))));
            return Answered { answers: answers.collect(), at: None };
        }
        let parts = cluster.parts(self.queues.iter().map(|queue| queue.slot));
        let ask = |part: &[usize]| {
            let first = link.to(&self.queues[part[0]]);
            let (request, len) = (self.request(part), part.len());
            boxed(async move {
                // An answer that does not come is to be found out there, so that the connection is not used again.
                let answers = timeout(self.within.mul_f64(1.25), first.request(&request, self.within)).await;
                let answers = answers.unwrap_or_else(|_| Err(RequestError::silence(cluster.address(), self.within)));
                let at = answers.is_ok().then(Instant::now);
                (self.each(answers, len), at)
            })
        };
        let mut asked: Vec<_> = parts.iter().map(|part| ask(part)).collect();
        if let Some(known) = self.announce {
            let mut request = Request::new(self.name);
            self.write_announcements(&mut request);
            asked.push(boxed(async move {
                // Whatever is answered: it is announced again in a while.
                let _ = timeout(self.within, link.to_set(known).request(&request, self.within)).await;
                (Vec::new(), None)
            }));
        }
        let answered = side_by_side(asked).await;
        let mut answers: Vec<Answers> = self.queues.iter().map(|_| Ok(Vec::new())).collect();
        let at = answered.iter().filter_map(|(_, at)| *at).max();
        for (part, (answered, _)) in parts.into_iter().zip(answered) {
            part.into_iter().zip(answered).for_each(|(at, answer)| answers[at] = answer);
        }
        Answered { answers, at }
    }

    fn request(&self, part: &[usize]) -> Request {
        let mut request = Request::with_capacity(self.name, part.len());
        part.iter().for_each(|at| (self.write)(&self.queues[*at], &mut request));
        request
    }

    fn write_announcements(&self, request: &mut Request) {
        for (queue, known) in self.queues.iter().filter_map(|queue| Some((queue, self.announce?))) {
            request.command(queue.announcement(known.namespace()));
        }
    }

    /// Divides the answers among so many queues. What comes after them is nobody's.
    fn each(&self, answers: Result<Vec<Answer>, RequestError>, queues: usize) -> Vec<Answers> {
        let mut answers = match answers {
            Ok(answers) => answers.into_iter(),
            Err(error) => return (0..queues).map(|_| Err(error.clone())).collect(),
        };
        let mut of_one = Request::new(self.name);
        (self.write)(&self.queues[0], &mut of_one);
        (0..queues).map(|_| Ok(answers.by_ref().take(of_one.len()).collect())).collect()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> Boxed<'a, T> {
    Box::pin(future)
}

/// Drives all of them to their ends.
async fn side_by_side<T>(mut all: Vec<Boxed<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (one, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = one.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
