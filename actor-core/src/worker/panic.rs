//! Catches an actor's panic, with its message and its place.

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

thread_local! {
    // Where the last panic of this thread happened: only the hook knows, not the payload.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has panics note their place, and then do what the program's own hook does.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            // A panic while the thread ends finds no thread-local left: its place is not needed.
            let _ = PLACE.try_with(|slot| slot.replace(place));
            hook(info);
        }));
    });
}

/// Warns where a panic is no failure of its message, but the process's end.
pub(crate) fn warn_of_abort() {
    if cfg!(panic = "abort") {
        tracing::warn!("panics abort this process: each ends the worker, and counts as a crash of all it holds");
    }
}

/// Runs `run`, and describes its panic.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // A panic that is resumed has no place, and must not be given that of one before it.
    let _ = PLACE.try_with(RefCell::take);
    // What the actor left half done is dropped with it, so nobody sees it broken.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let what = describe(&*payload);
        // What a panic carries may itself panic when it is dropped, as may what that one carries.
        if let Err(odd) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Box::leak(odd);
        }
        what
    })
}

/// Logs where a panic of the program's own subscriber would undo what must be done: one that writes to a closed
/// terminal panics. A [service](super::service) needs no shield.
pub(crate) fn shielded(log: impl FnOnce()) {
    let _ = catch(log);
}

pub(crate) async fn caught<F: Future>(run: F) -> Result<F::Output, String> {
    let mut run = std::pin::pin!(run);
    poll_fn(|cx| poll(run.as_mut(), cx)).await
}

pub(super) fn poll<F: Future + ?Sized>(run: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, String>> {
    match catch(|| run.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(what) => Poll::Ready(Err(what)),
    }
}

fn describe(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    match PLACE.with(|slot| slot.borrow_mut().take()) {
        Some(place) => format!("{message} at {place}"),
        None => message.to_owned(),
    }
}

/// A future whose panics become errors, also those of what it holds when it is dropped.
pub(crate) struct Caught<F: Future + ?Sized>(Option<Pin<Box<F>>>);

impl<F: Future + ?Sized> Caught<F> {
    pub(crate) fn new(run: Pin<Box<F>>) -> Self {
        Self(Some(run))
    }
}

impl<F: Future + ?Sized> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let run = self.0.as_mut().expect("it is there until it is dropped");
        poll(run.as_mut(), cx)
    }
}

impl<F: Future + ?Sized> Drop for Caught<F> {
    fn drop(&mut self) {
        // How the run ended is decided by now. A panic that went on from here would end the task that
        // is to settle it, and leave the message in flight until the worker ends.
        let run = self.0.take();
        let _ = catch(|| drop(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_panic_is_not_given_the_place_of_another() {
        note_places();
        assert!(catch_unwind(|| panic!("another")).is_err());
        assert_eq!(catch(|| std::panic::resume_unwind(Box::new("resumed"))).unwrap_err(), "resumed");
    }
}
