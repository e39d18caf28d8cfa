//! The `#[actor]` attribute of `actor-core`.

use proc_macro::TokenStream;

/// Declares an actor.
#[proc_macro_attribute]
pub fn actor(_options: TokenStream, item: TokenStream) -> TokenStream {
    item
}
