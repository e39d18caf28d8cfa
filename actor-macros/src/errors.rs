//! What the user is to change, collected, so that one run of the compiler tells it all.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Notes what to write instead of `at`.
    pub(crate) fn add(&mut self, at: impl ToTokens, what: impl Display) {
        self.0.push(syn::Error::new_spanned(at, what));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Each error as an error of the compiler.
    pub(crate) fn errors(&self) -> TokenStream {
        self.0.iter().map(syn::Error::to_compile_error).collect()
    }
}
