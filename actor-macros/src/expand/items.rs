//! The items that a user's code can name, or trips over.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Visibility;

use super::{allow_deprecated, call_site, docs, methods, name, quiet};
use crate::args::Args;
use crate::attrs::Attrs;
use crate::item::Actor;
use crate::name;
use crate::param::Kind;

/// What a declaration puts beside the glue.
pub(super) fn declared(actor: &Actor) -> TokenStream {
    let Actor { attrs, args, vis, sig, .. } = actor;
    let unit = unit(attrs, args, vis, &sig.ident);
    let guard = guard(attrs, args, &sig.ident);
    let body = body(actor);
    quote!(#unit #guard #body)
}

/// The unit struct: in the type and in the value namespace, so that one `use` brings all.
pub(super) fn unit(attrs: &Attrs, args: &Args, vis: &Visibility, name: &Ident) -> TokenStream {
    let Attrs { docs, cfgs, deprecated, .. } = attrs;
    let (line, quiet) = (docs::of_unit(attrs, args), quiet(attrs));
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

/// An exported macro is unique in its crate, wherever it stands: a second declaration of the actor
/// is an error of the compiler that shows both places.
pub(super) fn guard(attrs: &Attrs, args: &Args, ident: &Ident) -> TokenStream {
    let cfgs = &attrs.cfgs;
    let at = call_site(ident.span());
    let guard = Ident::new(&name::guard(&name(args, ident)), at);
    quote_spanned! {at=>
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_local_definitions)]
        #[macro_export]
        macro_rules! #guard { () => {}; }
    }
}

/// The type that `Worker::register` can name, beside the function of the same name.
pub(super) fn register(attrs: &Attrs, vis: &Visibility, ident: &Ident) -> TokenStream {
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

/// The lints that a signature meets because the macro asks for it as it is, whatever the body does.
pub(super) fn allow_signature(actor: &Actor) -> TokenStream {
    let states = actor.params.iter().any(|param| matches!(param.kind, Kind::State(_)));
    // A state is found by the very type behind the `&`.
    let states = states.then(|| quote!(#[allow(clippy::ptr_arg, clippy::trivially_copy_pass_by_ref)]));
    quote!(#[allow(clippy::unused_async, clippy::unnecessary_wraps, clippy::missing_const_for_fn)] #states)
}

/// What the function is called as an associated function: as it is written, for stack traces and for
/// attributes that read it, unless a method of every actor is called so.
pub(super) fn body_name(actor: &Actor) -> Ident {
    let name = &actor.sig.ident;
    let taken = methods::NAMES.iter().any(|method| name == method);
    if taken { format_ident!("__{name}", span = name.span()) } else { name.clone() }
}
