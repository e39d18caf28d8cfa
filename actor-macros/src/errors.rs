//! Collects the errors, so that one run of the compiler reports them all.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Reports an error at `at` that says what to write instead.
    pub(crate) fn add(&mut self, at: impl ToTokens, what: impl Display) {
        self.0.push(syn::Error::new_spanned(at, what));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// The tokens that make the compiler report each error.
    pub(crate) fn errors(&self) -> TokenStream {
        self.0.iter().map(syn::Error::to_compile_error).collect()
    }
}
