//! The implementation of an actor that is declared elsewhere, checked against its declaration.

use proc_macro2::{Delimiter, Group, Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;

use super::definition::owned;
use super::items::{allow_signature, register};
use super::methods::{arguments, wire_name};
use super::{call_site, ends, returned, run};
use crate::attrs::Attrs;
use crate::item::Actor;

/// Input:
///
/// ```text
/// #[actor(implements = tasks::process_video)]
/// async fn process_video(cx: &Context, id: Uuid) -> Result<(), VideoError> { body }
/// ```
///
/// Output: the function as written, and a type of its name, for `WorkerBuilder::register`.
///
/// ```text
/// async fn process_video(cx: &Context, id: Uuid) -> Result<(), VideoError> { body }
/// enum process_video {}
/// ```
pub(super) fn items(actor: &Actor) -> TokenStream {
    let Attrs { docs, cfgs, deprecated, allows, rest } = &actor.attrs;
    let (vis, sig, body) = (&actor.vis, &actor.sig, &actor.body);
    let signature = allow_signature(actor);
    let register = register(actor);
    quote! {
        #(#docs)*
        #(#cfgs)*
        #(#deprecated)*
        #(#allows)*
        #(#rest)*
        #signature
        #vis #sig #body

        #register
    }
}

/// Output, beside what [`run::glue`] writes:
///
/// ```text
/// type __Declared = tasks::process_video;
/// const _: fn() = arguments_match::<(Uuid,), __Declared>;
/// const _: fn() = return_matches::<Result<(), VideoError>, __Declared>;
/// const _: () = is_without_body(<__Declared as Actor>::DEF);
/// const _: () = is_called(<__Declared as Actor>::DEF, &["id"]);
/// ```
pub(super) fn glue(actor: &Actor, path: &Path) -> TokenStream {
    let ident = &actor.sig.ident;
    let at = ends(&path.to_token_stream()).1;
    let (declared, def) =
        (quote_spanned!(at=> __Declared), quote_spanned!(at=> <__Declared as __actor_core::Actor>::DEF));
    let run = run::glue(actor, &def, &quote!(#ident));
    let types = arguments(actor).map(|(param, borrowed)| owned(&param.ty, borrowed));
    let mut given = Group::new(Delimiter::Parenthesis, quote!(#(#types,)*));
    given.set_span(actor.sig.paren_token.span.join());
    let returned = returned(actor);
    let is_batch = actor.args.batch.is_some();
    let return_matches = Ident::new(if is_batch { "batch_return_matches" } else { "return_matches" }, at);
    let checks = quote_spanned! {at=>
        const _: fn() = __actor_core::__private::arguments_match::<#given, #declared>;
        const _: fn() = __actor_core::__private::#return_matches::<#returned, #declared>;
        const _: () = __actor_core::__private::is_without_body(#def);
    };
    let names: Vec<String> = arguments(actor).map(|(param, _)| wire_name(&param.name)).collect();
    // Several messages have another name than one.
    let named = arguments(actor).filter(|_| !is_batch);
    let called = named.enumerate().map(|(index, (param, _))| {
        let known = &names[..=index];
        quote_spanned! {call_site(param.name.span())=>
            const _: () = __actor_core::__private::is_called(#def, &[#(#known),*]);
        }
    });
    quote! {
        type __Declared = #path;
        #checks
        #(#called)*
        #run
    }
}
