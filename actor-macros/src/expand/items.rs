//! The items that user code can name or collide with.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{allow_deprecated, call_site, methods, name, queue, quiet};
use crate::attrs::Attrs;
use crate::item::Actor;
use crate::name;
use crate::param::Kind;

/// The items of a declaration, with its body.
pub(super) fn declared(actor: &Actor) -> TokenStream {
    let (unit, guard, body) = (unit(actor), guard(actor), body(actor));
    quote!(#unit #guard #body)
}

/// The unit struct. It is a type and a value, so that one `use` imports both.
pub(super) fn unit(actor: &Actor) -> TokenStream {
    let Attrs { docs, cfgs, deprecated, .. } = &actor.attrs;
    let (vis, name, queue) = (&actor.vis, &actor.sig.ident, queue(&actor.args));
    // Explains why a type has a function's name. Without the user's docs there is none, so that
    // `missing_docs` still asks for them.
    let line = format!("An actor of the queue `{queue}`: [`send`](Self::send) it a message.");
    let line = (!docs.is_empty()).then(|| quote!(#[doc = ""] #[doc = #line]));
    let quiet = quiet(&actor.attrs);
    quote_spanned! {call_site(name.span())=>
        #(#docs)*
        #line
        #(#cfgs)*
        #(#deprecated)*
        #quiet
        #[allow(non_camel_case_types, clippy::exhaustive_structs)]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #name;
    }
}

/// An exported macro is unique in its crate, in whatever module: a second declaration of the actor is
/// an error that shows both places.
pub(super) fn guard(actor: &Actor) -> TokenStream {
    let cfgs = &actor.attrs.cfgs;
    let at = call_site(actor.sig.ident.span());
    let guard = Ident::new(&name::guard(&name(actor)), at);
    quote_spanned! {at=>
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_local_definitions)]
        #[macro_export]
        macro_rules! #guard { () => {}; }
    }
}

/// The type that `WorkerBuilder::register` can name, beside the function of the same name.
pub(super) fn register(actor: &Actor) -> TokenStream {
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    let (vis, ident) = (&actor.vis, &actor.sig.ident);
    quote! {
        /// The implementation by the function of this name, for `WorkerBuilder::register`.
        #(#cfgs)*
        #quiet
        #[allow(non_camel_case_types, missing_debug_implementations, clippy::exhaustive_enums)]
        #vis enum #ident {}
    }
}

/// The function itself, as a private associated function: only the actor has its name.
fn body(actor: &Actor) -> TokenStream {
    let Some(body) = &actor.body else { return TokenStream::new() };
    let Attrs { cfgs, allows, rest, .. } = &actor.attrs;
    let (name, deprecated, signature) = (&actor.sig.ident, allow_deprecated(&actor.attrs), allow_signature(actor));
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

/// Allows the lints that a signature triggers only because the macro prescribes it.
pub(super) fn allow_signature(actor: &Actor) -> TokenStream {
    let states = actor.params.iter().any(|param| matches!(param.kind, Kind::State(_)));
    // A state is found by the exact type behind the `&`.
    let states = states.then(|| quote!(#[allow(clippy::ptr_arg, clippy::trivially_copy_pass_by_ref)]));
    // Those of a batch come as a `Vec`.
    let batch = actor.args.batch.is_some().then(|| quote!(#[allow(clippy::needless_pass_by_value)]));
    quote!(#[allow(clippy::unused_async, clippy::unnecessary_wraps, clippy::missing_const_for_fn)] #states #batch)
}

/// The name of the body. It is the function's own, for stack traces and for attributes that read it,
/// unless a method of every actor has that name.
pub(super) fn body_name(actor: &Actor) -> Ident {
    let name = &actor.sig.ident;
    let taken = methods::NAMES.iter().any(|method| name == method);
    if taken { format_ident!("__{name}", span = name.span()) } else { name.clone() }
}
