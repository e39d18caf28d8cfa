//! An error's text together with the causes below it.

use std::error::Error as StdError;
use std::iter::successors;
use std::marker::PhantomData;
use std::ops::Deref;

/// How many causes are shown. An error may be its own cause, by mistake, and would have no end.
const MOST_CAUSES: usize = 64;

/// An error's text with its causes, each of which says only its own level.
pub(crate) fn chain<E: StdError + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    append(&mut text, error.source());
    text
}

#[inline(never)]
fn append(text: &mut String, first: Option<&dyn StdError>) {
    for cause in successors(first, |&cause| cause.source()).take(MOST_CAUSES) {
        let told = cause.to_string();
        // Many an error shows its cause itself, at its end.
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
    }
}

/// Shows an actor's error with its causes.
pub(crate) type Show<E> = fn(&E) -> String;

/// An actor's type of error, asked whether it knows its causes: `(&&&ErrorType::<E>::NEW).show()`.
///
/// An error need only be one that can be shown, so the macro asks for the type that stands there:
/// the method of the first trait below that holds for it is called, by the number of `&` it needs.
#[derive(Debug)]
pub struct ErrorType<E>(PhantomData<fn(E)>);

impl<E> ErrorType<E> {
    /// The type.
    pub const NEW: Self = Self(PhantomData);
}

/// A `std::error::Error`.
pub trait ShowError<E> {
    /// Shows it with its causes.
    fn show(&self) -> Option<Show<E>>;
}

impl<E: StdError> ShowError<E> for &&ErrorType<E> {
    fn show(&self) -> Option<Show<E>> {
        Some(chain::<E>)
    }
}

/// A `Box<dyn Error>`, or whatever else leads to an error and is none.
pub trait ShowPointer<E> {
    /// Shows what it leads to, with its causes.
    fn show(&self) -> Option<Show<E>>;
}

impl<E: Deref<Target: StdError>> ShowPointer<E> for &ErrorType<E> {
    fn show(&self) -> Option<Show<E>> {
        Some(|error| chain(&**error))
    }
}

/// Anything else.
pub trait ShowOther<E> {
    /// `None`: it shows itself.
    fn show(&self) -> Option<Show<E>>;
}

impl<E> ShowOther<E> for ErrorType<E> {
    fn show(&self) -> Option<Show<E>> {
        None
    }
}

#[cfg(test)]
#[allow(clippy::needless_borrow)] // The macro always writes as many.
mod tests {
    use super::*;
    use crate::Failure;

    #[derive(Debug, thiserror::Error)]
    #[error("the upload failed")]
    struct Upload(#[source] Disk);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk failed: {0}")]
    struct Disk(#[source] std::io::Error);

    fn upload() -> Upload {
        Upload(Disk(std::io::Error::other("no space left")))
    }

    const TEXT: &str = "the upload failed: the disk failed: no space left";

    #[test]
    fn an_error_is_shown_with_its_causes_and_none_of_them_twice() {
        assert_eq!((&&&ErrorType::<Upload>::NEW).show().map(|show| show(&upload())).as_deref(), Some(TEXT));
    }

    #[derive(Debug)]
    struct Loop;

    impl std::fmt::Display for Loop {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("round")
        }
    }

    impl StdError for Loop {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn one_that_is_its_own_cause_comes_to_an_end() {
        assert_eq!(chain(&Loop), "round");
    }

    #[test]
    fn so_is_one_in_a_box_and_what_only_shows_itself_is_left_to_do_so() {
        type Boxed = Box<dyn StdError + Send + Sync>;
        let boxed: Boxed = upload().into();
        assert_eq!((&&&ErrorType::<Boxed>::NEW).show().map(|show| show(&boxed)).as_deref(), Some(TEXT));
        assert!((&&&ErrorType::<String>::NEW).show().is_none());
        assert!((&&&ErrorType::<Failure>::NEW).show().is_none());
    }
}
