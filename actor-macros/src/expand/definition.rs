//! The declaration as the registry and the types see it.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

use super::methods::{arguments, wire_name};
use super::{location, name, returned};
use crate::args::{Args, Limit, Millis, Priority};
use crate::item::Actor;

/// Output:
///
/// ```ignore
/// impl ::actor_core::Actor for welcome {
///     type Args = (String,);
///     type Output = <Result<(), MailError> as IntoOutcome>::Output;
///     type Error = <Result<(), MailError> as IntoOutcome>::Error;
///     const DEF: &'static ActorDef = &ActorDef::new("welcome", "mail", &["to"], .., true);
/// }
/// #[distributed_slice(ACTOR_CORE_DECLARATIONS)]
/// static DECLARATION: &ActorDef = <welcome as Actor>::DEF;
/// ```
pub(super) fn glue(actor: &Actor) -> TokenStream {
    let (ident, returned) = (&actor.sig.ident, returned(actor));
    let owned = arguments(actor).map(|(param, lent)| owned(&param.ty, lent));
    let arguments = arguments(actor).map(|(param, _)| wire_name(&param.name));
    let (name, options, location) = (name(&actor.args, ident), options(&actor.args), location(ident));
    let queue = actor.args.queue.as_ref().map_or_else(|| "default".to_owned(), syn::LitStr::value);
    let has_body = actor.body.is_some();
    quote! {
        impl ::actor_core::Actor for #ident {
            type Args = (#(#owned,)*);
            type Output = <#returned as ::actor_core::__private::IntoOutcome>::Output;
            type Error = <#returned as ::actor_core::__private::IntoOutcome>::Error;
            const DEF: &'static ::actor_core::__private::ActorDef = &::actor_core::__private::ActorDef::new(
                #name,
                #queue,
                &[#(#arguments),*],
                #options,
                #location,
                #has_body,
            );
        }

        #[::actor_core::__private::linkme::distributed_slice(::actor_core::__private::ACTOR_CORE_DECLARATIONS)]
        #[linkme(crate = ::actor_core::__private::linkme)]
        static DECLARATION: &'static ::actor_core::__private::ActorDef = <#ident as ::actor_core::Actor>::DEF;
    }
}

/// The type that an argument is decoded into.
pub(super) fn owned(ty: &syn::Type, lent: Option<&syn::Type>) -> TokenStream {
    match lent {
        Some(elem) => quote!(<#elem as ::std::borrow::ToOwned>::Owned),
        None => ty.to_token_stream(),
    }
}

fn options(args: &Args) -> TokenStream {
    let retries = args.max_retries.map(|retries| quote!(.max_retries(#retries)));
    let min = args.min_backoff.as_ref().map(|Millis(ms, _)| quote!(.min_backoff(#ms)));
    let max = args.max_backoff.as_ref().map(|Millis(ms, _)| quote!(.max_backoff(#ms)));
    let limit = args.time_limit.map(|limit| {
        let limit = optional(limit);
        quote!(.time_limit(#limit))
    });
    let age = args.max_age.map(|age| {
        let age = optional(age);
        quote!(.max_age(#age))
    });
    let priority = args.priority.map(|priority| {
        let priority = match priority {
            Priority::High => quote!(High),
            Priority::Normal => quote!(Normal),
            Priority::Low => quote!(Low),
        };
        quote!(.priority(::actor_core::Priority::#priority))
    });
    quote!(::actor_core::__private::Options::DEFAULT #retries #min #max #limit #age #priority)
}

fn optional(limit: Limit) -> TokenStream {
    match limit {
        Limit::None => quote!(::core::option::Option::None),
        Limit::Millis(ms) => {
            let ms = Literal::u64_suffixed(ms);
            quote!(::core::option::Option::Some(#ms))
        }
    }
}
