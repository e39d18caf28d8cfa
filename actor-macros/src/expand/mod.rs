//! Writes the tokens of an actor that was checked.

mod broken;
mod definition;
mod implements;
mod items;
mod methods;
mod run;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ReturnType;
use syn::ext::IdentExt;

pub(crate) use self::broken::broken;
use crate::args::{Args, Queue};
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
/// macro_rules! __two_actors_named_welcome__set_the_option_name_on_one { () => {}; }
/// impl welcome { async fn welcome(to: String) -> Result<(), MailError> { body } }
/// const _: () = {
///     use ::actor_core as __actor_core;
///     impl welcome { pub fn send(self, to: String) -> Sending<'static, Self>; .. }
///     impl Actor for welcome { .. }  /* the registry's elements, the handler */
/// };
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
    let returned = returned(actor);
    // The glue names the user's type here alone, so that an error in it is reported once.
    let glue = hidden(actor, &quote!(type __Returned = #returned; #glue));
    quote!(#items #glue)
}

/// Puts items where no user code can name them, with `__actor_core` for the path of `actor_core`.
fn hidden(actor: &Actor, items: &TokenStream) -> TokenStream {
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    let actor_core = actor.args.krate.as_ref().map_or_else(|| quote!(::actor_core), ToTokens::to_token_stream);
    quote! {
        #(#cfgs)*
        #quiet
        const _: () = {
            use #actor_core as __actor_core;
            #items
        };
    }
}

fn name(actor: &Actor) -> String {
    actor.args.name.as_ref().map_or_else(|| actor.sig.ident.unraw().to_string(), syn::LitStr::value)
}

/// A reference to the queue's declaration.
fn queue(args: &Args) -> TokenStream {
    let named = |name: &str| quote!(&__actor_core::Queue::new(#name));
    match &args.queue {
        None => named("default"),
        Some(Queue::Named(name)) => named(&name.value()),
        Some(Queue::Declared(path)) => {
            // Where it is no queue, the error points at the path.
            let (first, last) = ends(&path.to_token_stream());
            let (open, close) = (quote_spanned!(first=> &), quote_spanned!(last=> #path));
            quote!(#open #close)
        }
    }
}

/// The place of a declaration or an implementation, for the registry. It takes the span of the user's
/// token: with another, `line!()` is the line of the attribute.
fn location(ident: &Ident) -> TokenStream {
    quote_spanned! {ident.span()=>
        __actor_core::__private::Location::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::module_path!(),
            ::core::file!(),
            ::core::line!(),
        )
    }
}

fn returned(actor: &Actor) -> TokenStream {
    match &actor.sig.output {
        ReturnType::Default => quote_spanned!(call_site(actor.sig.ident.span())=> ()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    }
}

/// `<__Returned as IntoOutcome>::item`, of a batch `IntoBatchOutcome`. An error in it underlines the whole return type.
fn outcome(actor: &Actor, item: &str) -> TokenStream {
    let (first, last) = ends(&returned(actor));
    let item = Ident::new(item, last);
    let open = quote_spanned!(first=> <__Returned);
    let of = Ident::new(if actor.args.batch.is_some() { "IntoBatchOutcome" } else { "IntoOutcome" }, last);
    let close = quote_spanned!(last=> as __actor_core::__private::#of>::#item);
    quote!(#open #close)
}

fn ends(tokens: &TokenStream) -> (Span, Span) {
    let spans: Vec<Span> = tokens.clone().into_iter().map(|token| call_site(token.span())).collect();
    let first = spans.first().copied().unwrap_or_else(Span::call_site);
    (first, spans.last().copied().unwrap_or(first))
}

/// Silences lints that the user cannot act on: another program may send to the actor, and deprecated
/// types may be used on purpose.
fn quiet(attrs: &Attrs) -> TokenStream {
    let (allows, deprecated) = (&attrs.allows, allow_deprecated(attrs));
    quote!(#[allow(dead_code)] #deprecated #(#allows)*)
}

/// Lets the items of a deprecated actor name it.
fn allow_deprecated(attrs: &Attrs) -> Option<TokenStream> {
    (!attrs.deprecated.is_empty()).then(|| quote!(#[allow(deprecated)]))
}

/// The span of the user's token, with names resolved at the attribute.
fn call_site(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// A local variable that no parameter of the user's shadows. An actor of its name would, as any unit
/// struct does, so the name is one that no actor has.
fn local(name: &str, at: Span) -> Ident {
    Ident::new(name, at.resolved_at(Span::mixed_site()))
}
