//! Writes the tokens of an actor. What could be wrong was found before.

mod broken;
mod definition;
mod implements;
mod methods;
mod run;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ReturnType;
use syn::ext::IdentExt;

pub(crate) use self::broken::broken;
use crate::args::Args;
use crate::item::{Actor, Attrs, Form};
use crate::name;

/// Input:
///
/// ```ignore
/// #[actor(queue = "mail")]
/// pub async fn welcome(to: String) -> Result<(), MailError> { body }
/// ```
///
/// Output:
///
/// ```ignore
/// pub struct welcome;
/// macro_rules! __actor_declared_twice_welcome { () => {}; }
/// impl welcome { pub fn send(self, to: String) -> Sending<'static>; .. }
/// impl welcome { async fn welcome(to: String) -> Result<(), MailError> { body } }
/// const _: () = { impl Actor for welcome { .. }  /* the registry's elements, the handler */ };
/// ```
pub(crate) fn actor(actor: &Actor) -> TokenStream {
    let (items, glue) = match &actor.form {
        Form::Implementation(path) => (implements::items(actor), implements::glue(actor, path)),
        Form::Whole => {
            let (name, body) = (&actor.sig.ident, body_name(actor));
            let run = run::glue(actor, &quote!(<Self as ::actor_core::Actor>::DEF), &quote!(#name::#body));
            (declared(actor), join([definition::glue(actor), run]))
        }
        Form::Declaration => (declared(actor), definition::glue(actor)),
    };
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    let returned = returned(actor);
    quote! {
        #items

        #(#cfgs)*
        #quiet
        const _: () = {
            // The glue names the user's type here alone, so that a mistake in it is told once.
            type __Returned = #returned;
            #glue
        };
    }
}

/// What a declaration puts beside the glue: the unit struct, its methods, and the body.
fn declared(actor: &Actor) -> TokenStream {
    let ident = &actor.sig.ident;
    let unit = unit(&actor.attrs, &actor.vis, ident);
    let guard = guard(&actor.attrs, &name(&actor.args, ident), ident);
    let methods = methods::methods(actor);
    let body = body(actor);
    quote!(#unit #guard #methods #body)
}

/// The unit struct: in the type and in the value namespace, so that one `use` brings all.
fn unit(attrs: &Attrs, vis: &syn::Visibility, name: &Ident) -> TokenStream {
    let Attrs { docs, cfgs, deprecated, .. } = attrs;
    let quiet = quiet(attrs);
    quote_spanned! {call_site(name.span())=>
        #(#docs)*
        #(#cfgs)*
        #(#deprecated)*
        #quiet
        #[allow(non_camel_case_types, clippy::exhaustive_structs)]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #name;
    }
}

/// An exported macro is unique in its crate, wherever it stands: a second declaration of the actor
/// is an error of the compiler that shows both places.
fn guard(attrs: &Attrs, name: &str, ident: &Ident) -> TokenStream {
    let cfgs = &attrs.cfgs;
    let at = call_site(ident.span());
    let guard = Ident::new(&name::guard(name), at);
    quote_spanned! {at=>
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_local_definitions)]
        #[macro_export]
        macro_rules! #guard { () => {}; }
    }
}

/// The type that `Worker::register` can name, beside the function of the same name.
fn register(attrs: &Attrs, vis: &syn::Visibility, ident: &Ident) -> TokenStream {
    let (cfgs, quiet) = (&attrs.cfgs, quiet(attrs));
    quote! {
        /// The implementation by the function of this name.
        #(#cfgs)*
        #quiet
        #[allow(non_camel_case_types, missing_debug_implementations, clippy::exhaustive_enums)]
        #vis enum #ident {}
    }
}

/// The function itself, as a private associated function: nothing but the actor takes its name.
fn body(actor: &Actor) -> TokenStream {
    let Some(body) = &actor.body else { return TokenStream::new() };
    let Attrs { cfgs, allows, rest, .. } = &actor.attrs;
    let (name, deprecated, signature) = (&actor.sig.ident, allow_deprecated(&actor.attrs), allow_signature());
    let mut sig = actor.sig.clone();
    sig.ident = body_name(actor);
    quote! {
        #(#cfgs)*
        #deprecated
        #[allow(non_local_definitions)]
        impl #name {
            #(#rest)*
            #(#allows)*
            #signature
            #sig #body
        }
    }
}

/// What an actor's signature may be, whatever its body makes of it.
fn allow_signature() -> TokenStream {
    quote!(#[allow(clippy::unused_async, clippy::unnecessary_wraps, clippy::missing_const_for_fn)])
}

/// What the function is called as an associated function: as it is written, for stack traces and for
/// attributes that read it, unless a method of every actor is called so.
fn body_name(actor: &Actor) -> Ident {
    let name = &actor.sig.ident;
    let taken = methods::NAMES.iter().any(|method| name == method);
    if taken { format_ident!("__{name}", span = name.span()) } else { name.clone() }
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

fn lifetime(index: usize) -> syn::Lifetime {
    let name = format_ident!("item{index}");
    syn::Lifetime { apostrophe: Span::call_site(), ident: name }
}

fn join(parts: impl IntoIterator<Item = TokenStream>) -> TokenStream {
    parts.into_iter().collect()
}
