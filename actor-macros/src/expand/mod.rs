//! Writes the tokens of an actor. What could be wrong was found before.

mod broken;
mod definition;
mod docs;
mod implements;
mod items;
mod methods;
mod run;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ReturnType;
use syn::ext::IdentExt;

pub(crate) use self::broken::broken;
use crate::args::Args;
use crate::attrs::Attrs;
use crate::item::{Actor, Form};

/// Input:
///
/// ```text
/// #[actor(queue = "mail")]
/// pub async fn welcome(to: String) -> Result<(), MailError> { body }
/// ```
///
/// Output:
///
/// ```text
/// pub struct welcome;
/// macro_rules! __actor_declared_twice_welcome { () => {}; }
/// impl welcome { pub fn send(self, to: String) -> Sending<'static, Self>; .. }
/// impl welcome { async fn welcome(to: String) -> Result<(), MailError> { body } }
/// const _: () = { impl Actor for welcome { .. }  /* the registry's elements, the handler */ };
/// ```
pub(crate) fn actor(actor: &Actor) -> TokenStream {
    let (items, glue) = match &actor.form {
        Form::Implementation(path) => (implements::items(actor), implements::glue(actor, path)),
        Form::Declaration => (items::declared(actor), definition::glue(actor)),
        Form::Whole => {
            let (definition, run) = (definition::glue(actor), run::of_whole(actor));
            (items::declared(actor), quote!(#definition #run))
        }
    };
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    let returned = returned(actor);
    quote! {
        #items

        #(#cfgs)*
        #quiet
        const _: () = {
            // The glue names the user's type here alone, so that an error in it is told once.
            type __Returned = #returned;
            #glue
        };
    }
}

/// The actor's name on the wire.
fn name(args: &Args, ident: &Ident) -> String {
    args.name.as_ref().map_or_else(|| ident.unraw().to_string(), syn::LitStr::value)
}

/// Where an item or an implementation stands, as the registry shows it: the user's own place, or
/// `line!()` would be that of the attribute.
fn location(ident: &Ident) -> TokenStream {
    quote_spanned! {ident.span()=>
        ::actor_core::__private::Location::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::module_path!(),
            ::core::file!(),
            ::core::line!(),
        )
    }
}

/// The type that the function returns.
fn returned(actor: &Actor) -> TokenStream {
    match &actor.sig.output {
        ReturnType::Default => quote_spanned!(call_site(actor.sig.ident.span())=> ()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    }
}

/// `<__Returned as IntoOutcome>::item`, underlining the whole of the type that the function returns.
fn outcome(actor: &Actor, item: &str) -> TokenStream {
    let (first, last) = ends(&returned(actor));
    let item = Ident::new(item, last);
    let open = quote_spanned!(first=> <__Returned);
    let close = quote_spanned!(last=> as ::actor_core::__private::IntoOutcome>::#item);
    quote!(#open #close)
}

/// Where tokens begin and end.
fn ends(tokens: &TokenStream) -> (Span, Span) {
    let spans: Vec<Span> = tokens.clone().into_iter().map(|token| call_site(token.span())).collect();
    let first = spans.first().copied().unwrap_or_else(Span::call_site);
    (first, spans.last().copied().unwrap_or(first))
}

/// Silences what a user cannot know of: the actor may be sent from another program, and what it
/// mentions may be deprecated on purpose.
fn quiet(attrs: &Attrs) -> TokenStream {
    let (allows, deprecated) = (&attrs.allows, allow_deprecated(attrs));
    quote!(#[allow(dead_code)] #deprecated #(#allows)*)
}

/// What belongs to a deprecated actor may name it.
fn allow_deprecated(attrs: &Attrs) -> Option<TokenStream> {
    (!attrs.deprecated.is_empty()).then(|| quote!(#[allow(deprecated)]))
}

/// The place of the user's token, with names that mean what they mean where the user stands.
fn call_site(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// A local of the macro, never mistaken for a parameter of the user. It may still be mistaken for an
/// actor, which is a unit struct, so that no actor should be called like it.
fn local(name: &str, at: Span) -> Ident {
    Ident::new(name, at.resolved_at(Span::mixed_site()))
}
