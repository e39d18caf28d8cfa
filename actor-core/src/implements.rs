//! Compares an implementation with its declaration at compile time.

use crate::Actor;
use crate::actor::ActorDef;

/// Compiles if `D` is declared with the arguments `A`.
pub fn arguments_match<A: SameArguments<D::Args>, D: Actor>() {}

/// Compiles if `D` is declared to return `R`.
pub fn return_matches<R: SameReturn<D::Output, D::Error>, D: Actor>() {}

/// Implemented by equal types.
#[diagnostic::on_unimplemented(
    message = "the arguments are not those of the declaration",
    label = "here they are `{Self}`",
    note = "they are declared as `{Declared}`"
)]
pub trait SameArguments<Declared> {}

impl<A> SameArguments<A> for A {}

/// Implemented by the return type that was declared.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the actor is declared to return",
    label = "not the declared return type",
    note = "it is declared with the output `{Output}` and the error `{Error}`"
)]
pub trait SameReturn<Output, Error> {}

impl<T, E> SameReturn<T, E> for Result<T, E> {}

impl SameReturn<(), std::convert::Infallible> for () {}

/// Compiles if `D` is declared to return for one message what `R` has for each of several.
pub fn batch_return_matches<R: SameBatchReturn<D::Output, D::Error>, D: Actor>() {}

/// Implemented by what an actor with `batch(..)` returns where one message's is declared.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the actor is declared to return for each message of a batch",
    label = "not the declared return type",
    note = "for one message it is declared with the output `{Output}` and the error `{Error}`"
)]
pub trait SameBatchReturn<Output, Error> {}

impl<T, E> SameBatchReturn<T, E> for Vec<Result<T, E>> {}

impl<T, E> SameBatchReturn<T, E> for Result<Vec<Result<T, E>>, E> {}

impl<E> SameBatchReturn<(), E> for Result<(), E> {}

impl SameBatchReturn<(), std::convert::Infallible> for () {}

/// Implemented by nothing. The `call` of an actor without a body requires it, so that the error says what
/// to write. Because of the lifetime, the compiler checks it at the caller and not at the declaration.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is declared without a body, so there is nothing to call",
    label = "no body here",
    note = "send it a message with `.send(..)`, or call the function below `#[actor(implements = ..)]`"
)]
pub trait HasBody<'caller> {
    /// What the body would return.
    fn call<T>() -> T;
}

/// Compiles if the declaration has no body.
#[track_caller]
pub const fn is_without_body(declared: &ActorDef) {
    assert!(
        !declared.has_body,
        "this actor is declared with a body, which is its implementation: remove one of the two"
    );
}

/// Compiles if the last of `names` is the declared name of this argument. A mistake in an earlier argument
/// is reported there, and a wrong number of arguments with their types.
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

/// A text that is built at compile time. What does not fit is left out.
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
            Err(_) => "the declaration has another name for this argument",
        }
    }
}
