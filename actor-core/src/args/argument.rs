//! What can be an argument, and what the compiler says of the rest.

use std::borrow::Borrow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// What `send` writes into a message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument: a message cannot carry it",
    label = "cannot be sent",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}` to send it",
    note = "if it is not sent but comes from the worker, mark the parameter: `#[state] name: &{Self}`"
)]
pub trait Argument: Serialize {}

impl<T: Serialize + ?Sized> Argument for T {}

/// What a worker reads from a message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument: a worker cannot read it from a message",
    label = "cannot be read",
    note = "derive `serde::Deserialize` for `{Self}` to send it",
    note = "if it is not sent but comes from the worker, mark the parameter: `#[state] name: &{Self}`"
)]
pub trait OwnedArgument: DeserializeOwned {}

impl<T: DeserializeOwned> OwnedArgument for T {}

/// What stands behind an argument's `&`, and what it is read as. Unlike `ToOwned`, it asks for no
/// `Clone`.
pub trait Borrowed {
    /// What a worker reads.
    type Owned: Borrow<Self>;
}

impl<T> Borrowed for T {
    type Owned = T;
}

impl<T> Borrowed for [T] {
    type Owned = Vec<T>;
}

macro_rules! unsized_types {
    ($($borrowed:ty: $owned:ty,)*) => {
        $(impl Borrowed for $borrowed {
            type Owned = $owned;
        })*
    };
}

unsized_types! { str: String, Path: PathBuf, OsStr: OsString, CStr: CString, RawValue: Box<RawValue>, }
