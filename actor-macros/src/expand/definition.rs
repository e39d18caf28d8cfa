//! The declaration: its methods, its `Actor` implementation and its element of the registry.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::methods::{arguments, methods, wire_name};
use super::{call_site, ends, location, name, outcome, queue, returned};
use crate::args::{Args, Millis};
use crate::item::Actor;
use crate::owned::bare;
use crate::written::written;

/// Output:
///
/// ```text
/// impl ::actor_core::Actor for welcome {
///     type Args = (String,);
///     type Output = <Result<(), MailError> as IntoOutcome>::Output;
///     type Error = <Result<(), MailError> as IntoOutcome>::Error;
///     const DEF: &'static ActorDef = &ActorDef::new("welcome", __QUEUE, &[("to", "String")], .., true);
/// }
/// #[distributed_slice(ACTOR_CORE_DECLARATIONS)]
/// static __DECLARATION: &ActorDef = <welcome as Actor>::DEF;
/// ```
pub(super) fn glue(actor: &Actor) -> TokenStream {
    let ident = &actor.sig.ident;
    let owned = arguments(actor).map(|(param, borrowed)| owned(&param.ty, borrowed));
    let arguments = arguments(actor).map(|(param, borrowed)| {
        let (name, ty) = (wire_name(&param.name), decoded(&param.ty, borrowed));
        quote!((#name, #ty))
    });
    let (name, options, location) = (name(actor), options(&actor.args), location(ident));
    let queue = queue(&actor.args);
    let has_body = actor.body.is_some();
    let cron = cron(&actor.args);
    let on_dead_letter = on_dead_letter(&actor.args);
    // An error in a type points at the type.
    let args = quote_spanned!(call_site(actor.sig.paren_token.span.join())=> type Args = (#(#owned,)*););
    let (output, error) = (outcome(actor, "Output"), outcome(actor, "Error"));
    let (first, last) = ends(&returned(actor));
    let (output_is, error_is) = (quote_spanned!(first=> type Output =), quote_spanned!(first=> type Error =));
    let end = quote_spanned!(last=> ;);
    let methods = methods(actor);
    let keeps = actor.args.results.map(|_| quote!(impl __actor_core::results::KeepsResults for #ident {}));
    quote! {
        #methods
        #keeps

        // In an item of its own, so that an error in it is reported once.
        const __QUEUE: &'static __actor_core::Queue = #queue;

        impl __actor_core::Actor for #ident {
            #args
            #output_is #output #end
            #error_is #error #end
            const DEF: &'static __actor_core::__private::ActorDef = &__actor_core::__private::ActorDef::new(
                #name,
                __QUEUE,
                &[#(#arguments),*],
                #options,
                #location,
                #has_body,
            )#cron #on_dead_letter;
        }

        #[__actor_core::__private::linkme::distributed_slice(__actor_core::__private::ACTOR_CORE_DECLARATIONS)]
        #[linkme(crate = __actor_core::__private::linkme)]
        static __DECLARATION: &'static __actor_core::__private::ActorDef = <#ident as __actor_core::Actor>::DEF;
    }
}

/// The type that an argument is decoded into.
pub(super) fn owned(ty: &syn::Type, borrowed: Option<&syn::Type>) -> TokenStream {
    match borrowed {
        Some(elem) => {
            let (first, last) = ends(&elem.to_token_stream());
            let open = quote_spanned!(first=> <);
            let close = quote_spanned!(last=> as __actor_core::__private::Borrowed>::Owned);
            quote!(#open #elem #close)
        }
        None => ty.to_token_stream(),
    }
}

/// The same as a text, by which a worker tells its declaration from the sender's.
fn decoded(ty: &syn::Type, borrowed: Option<&syn::Type>) -> String {
    let Some(elem) = borrowed else { return written(bare(ty)) };
    match (bare(elem), &*written(bare(elem))) {
        (_, "str") => "String".to_owned(),
        (_, "Path") => "PathBuf".to_owned(),
        (syn::Type::Slice(slice), _) => format!("Vec<{}>", written(&slice.elem)),
        (_, other) => other.to_owned(),
    }
}

/// The schedule, where one is declared.
fn cron(args: &Args) -> Option<TokenStream> {
    let pattern = args.cron.as_ref()?;
    let set = [
        ("timezone", args.timezone.as_ref().map(ToTokens::to_token_stream)),
        ("overlap", args.overlap.as_ref().map(|variant| quote!(__actor_core::__private::Overlap::#variant))),
        ("catch_up", args.catch_up.as_ref().map(|variant| quote!(__actor_core::__private::CatchUp::#variant))),
        ("jitter", args.jitter.as_ref().map(|Millis(ms, _)| quote!(::core::time::Duration::from_millis(#ms)))),
    ];
    let set = set.into_iter().filter_map(|(option, value)| {
        let option = format_ident!("{option}");
        value.map(|value| quote!(__cron.#option = #value;))
    });
    Some(quote! {
        .cron({
            #[allow(unused_mut)]
            let mut __cron = __actor_core::__private::CronDef::new(#pattern);
            #(#set)*
            __cron
        })
    })
}

/// What follows from a dead letter, where something does. An error in it points at the actor's path.
fn on_dead_letter(args: &Args) -> Option<TokenStream> {
    let path = args.on_dead_letter.as_ref()?;
    let message = quote_spanned!(path.span()=> #path.message(__failed));
    Some(quote! {
        .on_dead_letter(__actor_core::__private::OnDeadLetter::new(
            |__failed| __actor_core::__private::FollowUp::new(#message)
        ))
    })
}

/// The defaults, with the options that were set assigned.
fn options(args: &Args) -> TokenStream {
    let some = |value: &TokenStream| quote!(::core::option::Option::Some(#value));
    let millis = |ms: u64| quote!(::core::time::Duration::from_millis(#ms));
    let optional = |limit| match limit {
        None => quote!(::core::option::Option::None),
        Some(ms) => {
            let limit = millis(ms);
            quote!(::core::option::Option::Some(#limit))
        }
    };
    let backoff = |Millis(ms, _): &Millis| millis(*ms);
    let set = [
        ("max_retries", args.max_retries.map(|retries| quote!(#retries))),
        ("min_backoff", args.min_backoff.as_ref().map(backoff)),
        ("max_backoff", args.max_backoff.as_ref().map(backoff)),
        ("time_limit", args.time_limit.map(optional)),
        ("max_age", args.max_age.map(optional)),
        ("unique", args.unique.as_ref().map(|unique| some(&unique.expand()))),
        ("results", args.results.map(|ms| some(&millis(ms)))),
        ("priority", args.priority.as_ref().map(|priority| quote!(__actor_core::Priority::#priority))),
    ];
    let set = set.into_iter().filter_map(|(option, value)| {
        let option = format_ident!("{option}");
        value.map(|value| quote!(__options.#option = #value;))
    });
    quote!({
        #[allow(unused_mut)]
        let mut __options = __actor_core::__private::Options::DEFAULT;
        #(#set)*
        __options
    })
}
