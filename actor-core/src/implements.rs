//! Compares an implementation with its declaration, while the implementation is compiled.

use crate::Actor;
use crate::actor::ActorDef;

/// That `D` is declared with the arguments `A`.
pub fn arguments_match<A: SameArguments<D::Args>, D: Actor>() {}

/// That `D` is declared to return `R`.
pub fn return_matches<R: SameReturn<D::Output, D::Error>, D: Actor>() {}

/// Both are the same.
#[diagnostic::on_unimplemented(
    message = "the arguments are not those of the declaration",
    label = "here they are `{Self}`",
    note = "they are declared as `{Declared}`"
)]
pub trait SameArguments<Declared> {}

impl<A> SameArguments<A> for A {}

/// It is what was declared.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the actor is declared to return",
    label = "not the declared return type",
    note = "it is declared with the output `{Output}` and the error `{Error}`"
)]
pub trait SameReturn<Output, Error> {}

impl<T, E> SameReturn<T, E> for Result<T, E> {}

impl SameReturn<(), std::convert::Infallible> for () {}

/// That the declaration has no body.
#[track_caller]
pub const fn is_without_body(declared: &ActorDef) {
    assert!(
        !declared.has_body,
        "this actor is declared with a body, which is its implementation: take one of the two away"
    );
}

/// That the last of `names` is what the declaration calls this argument. A mistake in an argument
/// before it is told there, and another number of arguments with their types.
#[track_caller]
pub const fn is_called(declared: &ActorDef, names: &[&str]) {
    let mut index = 0;
    while index < names.len() && index < declared.args.len() {
        let (here, there) = (names[index], declared.args[index].0);
        if !same(here, there) {
            if index + 1 == names.len() {
                let text =
                    Text::new().and("the declaration calls this argument `").and(there).and("`, not `").and(here);
                panic!("{}", text.and("`").as_str());
            }
            return;
        }
        index += 1;
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    one.len() == other.len()
}

/// A text that is put together while the compiler runs. What does not fit is left out.
struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    const fn and(mut self, part: &str) -> Self {
        let part = part.as_bytes();
        let mut index = 0;
        while index < part.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = part[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "the declaration calls this argument otherwise",
        }
    }
}
