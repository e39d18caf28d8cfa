//! An error's text together with the causes below it.

use std::error::Error as StdError;
use std::iter::successors;

/// How many causes are shown. By mistake, an error may be its own cause without end.
pub(crate) const MOST_CAUSES: usize = 64;

/// An error's text with its causes, each of which says only its own level.
pub(crate) fn chain<E: StdError + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    append(&mut text, error.source());
    text
}

/// Has an error's debug output be what people read, causes included, since that is what `main` prints of one.
macro_rules! debug_as_shown {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::causes::chain(self))
            }
        }
    };
}

pub(crate) use debug_as_shown;

#[inline(never)]
fn append(text: &mut String, first: Option<&dyn StdError>) {
    for cause in successors(first, |&cause| cause.source()).take(MOST_CAUSES) {
        let shown = cause.to_string();
        // Many errors end with the text of their cause.
        if !text.ends_with(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the upload failed")]
    struct Upload(#[source] Disk);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk failed: {0}")]
    struct Disk(#[source] std::io::Error);

    #[test]
    fn an_error_is_shown_with_its_causes_and_none_of_them_twice() {
        let upload = Upload(Disk(std::io::Error::other("no space left")));
        assert_eq!(chain(&upload), "the upload failed: the disk failed: no space left");
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
}
