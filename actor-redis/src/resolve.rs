//! Resolving a host name on threads of the library's own: those that the runtime has for what blocks can all
//! be taken by user code, and a connection must not wait for that.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::io::AsyncDNSResolver;
use redis::{RedisError, RedisFuture};
use tokio::sync::oneshot;

/// How long a lookup may take before another one is begun beside it: its question may be lost, and the system
/// asks again only after 5 s.
const SLOW: Duration = Duration::from_secs(1);
/// How many lookups may run at once.
const MOST: usize = 3;

type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;
type Lookup = dyn Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Where the addresses of one host come from. Its threads end when it is dropped.
pub(crate) struct Resolver(Arc<Shared>);

/// A resolver as the client takes it.
pub(crate) struct Asked(Arc<Shared>);

struct Shared {
    lookup: Box<Lookup>,
    // Locked for moments only, by who asks and by the threads.
    desk: Mutex<Desk>,
    wake: Condvar,
}

#[derive(Default)]
struct Desk {
    /// Who waits for the next lookup that ends, whoever began it. None who has given up stays.
    waiting: Vec<oneshot::Sender<Found>>,
    threads: usize,
    /// How many of them have nothing to do.
    idle: usize,
    /// When the last lookup began.
    began: Option<Instant>,
    is_over: bool,
}

impl Resolver {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let host = host.to_owned();
        Self::with(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
    }

    fn with(lookup: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let lookup = Box::new(lookup);
        Self(Arc::new(Shared { lookup, desk: Mutex::default(), wake: Condvar::new() }))
    }

    /// Makes sure that there is a thread.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(crate) fn ready(&self) -> io::Result<Asked> {
        let mut desk = self.0.lock();
        if desk.threads == 0 {
            self.0.start(&mut desk)?;
        }
        drop(desk);
        Ok(Asked(Arc::clone(&self.0)))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn start(self: &Arc<Self>, desk: &mut Desk) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new().name("actor-redis-names".to_owned()).spawn(move || shared.serve())?;
        desk.threads += 1;
        Ok(())
    }

    /// Joins those who wait for a lookup that runs, or has one begun.
    fn ask(self: &Arc<Self>) -> oneshot::Receiver<Found> {
        let (answer, answered) = oneshot::channel();
        let mut desk = self.lock();
        desk.waiting.retain(|waiting| !waiting.is_closed());
        desk.waiting.push(answer);
        let is_slow = desk.began.is_some_and(|began| began.elapsed() >= SLOW);
        if desk.idle > 0 {
            self.wake.notify_one();
        } else if is_slow && desk.threads < MOST {
            // Without another thread, the one that runs answers.
            let _ = self.start(&mut desk);
        }
        answered
    }

    fn serve(&self) {
        let mut desk = self.lock();
        while !desk.is_over {
            if desk.waiting.is_empty() {
                if desk.idle > 0 {
                    break;
                }
                desk.idle += 1;
                desk = self.wake.wait(desk).unwrap_or_else(PoisonError::into_inner);
                desk.idle -= 1;
                continue;
            }
            desk.began = Some(Instant::now());
            drop(desk);
            let found = (self.lookup)().map(Arc::from).map_err(Arc::new);
            desk = self.lock();
            for waiting in desk.waiting.drain(..) {
                // An error means that it has given up.
                let _ = waiting.send(found.clone());
            }
        }
        desk.threads -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        // Nothing panics while it is held.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncDNSResolver for Asked {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let answered = self.0.ask();
        Box::pin(async move {
            let failed = |what: String| RedisError::from(io::Error::new(io::ErrorKind::NotFound, what));
            let found = answered.await.map_err(|_| failed("the resolver has ended".to_owned()))?;
            let found = found.map_err(|error| failed(error.to_string()))?;
            // The client takes for granted that there is one.
            if found.is_empty() {
                return Err(failed("the host's name has no address".to_owned()));
            }
            let found: Vec<_> = found.iter().copied().collect();
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6379);

    /// A lookup that counts itself and waits to be released.
    fn slow() -> (Resolver, mpsc::Receiver<mpsc::Sender<()>>, Arc<AtomicUsize>) {
        let (began, begun) = mpsc::channel();
        let (began, count) = (Mutex::new(began), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let resolver = Resolver::with(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let (let_go, gone) = mpsc::channel::<()>();
            let _ = began.lock().unwrap_or_else(PoisonError::into_inner).send(let_go);
            let _ = gone.recv();
            Ok(vec![ADDRESS])
        });
        (resolver, begun, count)
    }

    fn waiting(resolver: &Resolver) -> usize {
        resolver.0.lock().waiting.len()
    }

    #[test]
    fn who_asks_while_a_lookup_runs_shares_it_and_who_gives_up_is_forgotten() {
        let (resolver, begun, count) = slow();
        let asked = resolver.ready().expect("a thread");
        let first = asked.0.ask();
        let let_go = begun.recv().expect("a lookup");
        for _ in 0..1_000 {
            drop(asked.0.ask());
        }
        let second = asked.0.ask();
        assert_eq!(waiting(&resolver), 2);
        drop(let_go);
        for answered in [first, second] {
            let found = answered.blocking_recv().expect("an answer").expect("an address");
            assert_eq!(*found, [ADDRESS]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_lookup_that_hangs_is_overtaken_by_a_few_and_no_more() {
        let (resolver, begun, count) = slow();
        let asked = resolver.ready().expect("a thread");
        let (mut held, mut answers) = (Vec::new(), vec![asked.0.ask()]);
        held.push(begun.recv().expect("a lookup"));
        for _ in 1..2 * MOST {
            thread::sleep(SLOW); // Time itself makes a lookup slow.
            answers.push(asked.0.ask());
            held.extend(begun.recv_timeout(Duration::from_millis(200)));
        }
        assert_eq!((count.load(Ordering::SeqCst), held.len()), (MOST, MOST));
        // One that ends answers all.
        held.pop();
        for answer in answers {
            assert!(answer.blocking_recv().expect("an answer").is_ok());
        }
    }

    #[test]
    fn its_threads_end_with_it_and_one_that_is_idle_is_enough() {
        let resolver = Resolver::with(|| Ok(vec![ADDRESS]));
        let asked = resolver.ready().expect("a thread");
        for _ in 0..3 {
            assert!(asked.0.ask().blocking_recv().expect("an answer").is_ok());
            assert!(resolver.ready().is_ok());
            assert_eq!(resolver.0.lock().threads, 1);
        }
        drop(resolver);
        while asked.0.lock().threads > 0 {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error() {
        let resolver = Resolver::with(|| Ok(Vec::new()));
        let asked = resolver.ready().expect("a thread");
        assert!(asked.resolve("host", 1).await.is_err());
    }
}
