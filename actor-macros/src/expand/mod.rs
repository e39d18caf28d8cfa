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
            let name = &actor.sig.ident;
            let run = run::glue(actor, &quote!(Self), &quote!(#name::#name));
            (declared(actor), join([definition::glue(actor), run]))
        }
        Form::Declaration => (declared(actor), definition::glue(actor)),
    };
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    quote! {
        #items

        #(#cfgs)*
        #quiet
        const _: () = { #glue };
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
    quote! {
        #(#docs)*
        #(#cfgs)*
        #(#deprecated)*
        #quiet
        #[allow(non_camel_case_types)]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #name;
    }
}

/// An exported macro is unique in its crate, wherever it stands: a second declaration of the actor
/// is an error of the compiler that shows both places.
fn guard(attrs: &Attrs, name: &str, ident: &Ident) -> TokenStream {
    let cfgs = &attrs.cfgs;
    let guard = Ident::new(&name::guard(name), call_site(ident.span()));
    quote! {
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
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #vis enum #ident {}
    }
}

/// The function itself, as a private associated function: nothing but the actor takes its name.
fn body(actor: &Actor) -> TokenStream {
    let Some(body) = &actor.body else { return TokenStream::new() };
    let Attrs { cfgs, allows, rest, .. } = &actor.attrs;
    let (name, sig) = (&actor.sig.ident, &actor.sig);
    quote! {
        #(#cfgs)*
        #[allow(non_local_definitions)]
        impl #name {
            #(#rest)*
            #(#allows)*
            // The signature is the declaration's, whatever the body makes of it.
            #[allow(clippy::unused_async, clippy::unnecessary_wraps)]
            #sig #body
        }
    }
}

/// The actor's name on the wire.
fn name(args: &Args, ident: &Ident) -> String {
    args.name.as_ref().map_or_else(|| ident.unraw().to_string(), syn::LitStr::value)
}

/// Where an item or an implementation stands, as the registry shows it.
fn location(ident: &Ident) -> TokenStream {
    quote_spanned! {call_site(ident.span())=>
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
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    }
}

/// Silences what a user cannot know of: the actor may be sent from another program, and what it
/// mentions may be deprecated on purpose.
fn quiet(attrs: &Attrs) -> TokenStream {
    let allows = &attrs.allows;
    let deprecated = (!attrs.deprecated.is_empty()).then(|| quote!(#[allow(deprecated)]));
    quote!(#[allow(dead_code)] #deprecated #(#allows)*)
}

/// The place of the user's token, with names that mean what they mean where the user stands.
fn call_site(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// A local of the macro, called as the user's parameter but never mistaken for it.
fn local(name: &Ident) -> Ident {
    let mut local = name.clone();
    local.set_span(name.span().resolved_at(Span::mixed_site()));
    local
}

fn lifetime(index: usize) -> syn::Lifetime {
    let name = format_ident!("item{index}");
    syn::Lifetime { apostrophe: Span::call_site(), ident: name }
}

fn join(parts: impl IntoIterator<Item = TokenStream>) -> TokenStream {
    parts.into_iter().collect()
}
