//! What stands in for an actor with an error in its signature, so that the error is the only
//! error: whoever names the actor or sends it a message compiles.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{FnArg, Visibility};

use super::items::{guard, register, unit};
use super::{location, name, quiet};
use crate::item::{Broken, Form, Item};

/// Output, for `fn resize<T>(a: T, b: &mut u8) { body }`:
///
/// ```text
/// struct resize;
/// const _: () = {
///     impl resize { fn send<A0, A1>(self, _: A0, _: A1) -> Sending<'static, Self> { loop {} } .. }
///     impl ::actor_core::Actor for resize { .. }
///     fn resize<T>(a: T, b: &mut u8) { body }
/// };
/// ```
pub(crate) fn broken(Broken { item, args, form }: &Broken) -> TokenStream {
    // A function with a receiver stands in an `impl` or a trait, where nothing else may stand.
    if item.sig.receiver().is_some() {
        return item.plain(&item.vis);
    }
    let (cfgs, quiet) = (&item.attrs.cfgs, quiet(&item.attrs));
    let ident = &item.sig.ident;
    if let Form::Implementation(_) = form {
        let plain = item.plain(&item.vis);
        let register = register(&item.attrs, &item.vis, ident);
        return quote! {
            #plain
            #register
            #(#cfgs)*
            impl ::actor_core::actor::Implementation for #ident {
                const IMPLEMENTATION: &'static ::actor_core::__private::ImplementationDef = loop {};
            }
        };
    }
    let plain = item.plain(&Visibility::Inherited);
    let name = name(args, ident);
    let unit = unit(&item.attrs, args, &item.vis, ident);
    let guard = guard(&item.attrs, args, ident);
    let methods = methods(item);
    let location = location(ident);
    quote! {
        #unit
        #guard
        #(#cfgs)*
        #quiet
        const _: () = {
            #methods
            impl ::actor_core::Actor for #ident {
                type Args = ();
                type Output = ();
                type Error = ::core::convert::Infallible;
                const DEF: &'static ::actor_core::__private::ActorDef = &::actor_core::__private::ActorDef::new(
                    #name,
                    "default",
                    &[],
                    ::actor_core::__private::Options::DEFAULT,
                    #location,
                    false,
                );
            }
            #plain
        };
    }
}

/// Methods that take as many arguments as were written, of any types.
fn methods(item: &Item) -> TokenStream {
    let (ident, vis) = (&item.sig.ident, &item.vis);
    let arguments = item.sig.inputs.iter().filter(|param| match param {
        FnArg::Typed(param) => !param.attrs.iter().any(|attr| attr.path().is_ident("state")),
        FnArg::Receiver(_) => false,
    });
    let types: Vec<_> = arguments.enumerate().map(|(index, _)| format_ident!("__{index}")).collect();
    quote! {
        #[allow(clippy::empty_loop, non_camel_case_types, clippy::too_many_arguments)]
        impl #ident {
            #vis fn send<#(#types),*>(self, #(_: #types),*) -> ::actor_core::Sending<'static, Self> {
                loop {}
            }

            #vis fn send_with<'broker, #(#types),*>(
                self,
                _: &'broker dyn ::actor_core::Broker,
                #(_: #types),*
            ) -> ::actor_core::Sending<'broker, Self> {
                loop {}
            }

            #vis fn message<#(#types),*>(self, #(_: #types),*) -> ::actor_core::Message<Self> {
                loop {}
            }

            #vis fn send_many<T>(self, _: T) -> ::actor_core::SendingMany<'static, Self> {
                loop {}
            }

            #vis fn send_many_with<T>(
                self,
                _: &dyn ::actor_core::Broker,
                _: T,
            ) -> ::actor_core::SendingMany<'_, Self> {
                loop {}
            }
        }
    }
}
