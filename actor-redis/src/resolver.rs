//! Resolving host names on a thread of the broker's own. A runtime resolves them on its threads for blocking work,
//! and what a program does there may take all of them for as long as it likes.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use redis::RedisFuture;
use redis::io::AsyncDNSResolver;
use tokio::sync::oneshot;

/// Resolves host names. Clones share their thread, which begins with the first name and ends with the last clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver(Arc<Mutex<Option<mpsc::Sender<Question>>>>);

type Answer = io::Result<Vec<SocketAddr>>;

/// A name to resolve, and where to answer.
struct Question {
    host: String,
    port: u16,
    answer: oneshot::Sender<Answer>,
}

impl Resolver {
    async fn look_up(&self, host: &str, port: u16) -> Answer {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (answer, answered) = oneshot::channel();
        self.ask(Question { host: host.to_owned(), port, answer })?;
        answered.await.unwrap_or_else(|_| Err(io::Error::other("the thread that resolves host names has ended")))
    }

    fn ask(&self, question: Question) -> io::Result<()> {
        // Nothing panics while it is held.
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let question = match &*thread {
            Some(questions) => match questions.send(question) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(question)) => question,
            },
            None => question,
        };
        let (questions, asked) = mpsc::channel();
        thread::Builder::new().name("actor-resolver".to_owned()).spawn(move || answer_all(&asked)).map_err(
            |error| io::Error::new(error.kind(), format!("no thread could be started to resolve host names: {error}")),
        )?;
        // It is there: it waits for this.
        let _ = questions.send(question);
        *thread = Some(questions);
        Ok(())
    }
}

fn answer_all(asked: &mpsc::Receiver<Question>) {
    while let Ok(Question { host, port, answer }) = asked.recv() {
        // Who has given up meanwhile has asked again.
        if !answer.is_closed() {
            let found = (host.as_str(), port).to_socket_addrs();
            let _ = answer.send(found.map(Iterator::collect));
        }
    }
}

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = self.look_up(host, port).await?;
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_resolved_without_a_thread_of_the_runtime() -> io::Result<()> {
        let resolver = Resolver::default();
        assert_eq!(resolver.look_up("::1", 6379).await?, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 6379))]);
        assert!(resolver.0.lock().unwrap_or_else(PoisonError::into_inner).is_none(), "an address needs no thread");
        assert!(resolver.look_up("localhost", 6379).await?.iter().all(|found| found.ip().is_loopback()));
        assert!(resolver.look_up("no.such.host.invalid", 6379).await.is_err());
        Ok(())
    }
}
