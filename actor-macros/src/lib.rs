//! The `#[actor]` attribute of `actor-core`, which re-exports it: depend on that.

use proc_macro::TokenStream;

mod args;
mod duration;
mod expand;
mod item;
mod mistakes;
mod name;
mod nearest;
mod owned;
mod param;

#[doc = include_str!("actor.md")]
#[proc_macro_attribute]
pub fn actor(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = mistakes::Mistakes::default();
    let args = args::parse(options.into(), &mut mistakes);
    let expanded = match syn::parse(item.clone()) {
        Ok(item) => match item::check(item, args, &mut mistakes) {
            Ok(actor) => expand::actor(&actor),
            Err(broken) => expand::broken(&broken),
        },
        Err(error) => {
            mistakes.push(item::not_a_function(&error));
            item.into()
        }
    };
    let errors = mistakes.errors();
    quote::quote!(#errors #expanded).into()
}
