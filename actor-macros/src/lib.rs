//! The `#[actor]` attribute of `actor-core`. Depend on that crate, which re-exports it.

use proc_macro::TokenStream;

mod args;
mod attribute;
mod attrs;
mod batch;
mod cron;
mod duration;
mod errors;
mod expand;
mod item;
mod name;
mod nearest;
mod owned;
mod param;
mod unique;
mod written;

#[doc = include_str!("actor.md")]
#[proc_macro_attribute]
pub fn actor(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute::actor(options.into(), item.into()).into()
}
