//! Stands in for an actor with an error in its signature, so that it is the only error: code that
//! names the actor or sends it a message compiles.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{FnArg, Visibility};

use super::items::{guard, register, unit};
use super::methods::{control, getters};
use super::{hidden, location, name};
use crate::item::{Actor, Form};

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
pub(crate) fn broken(actor: &Actor) -> TokenStream {
    // A function with a receiver is in an `impl` or a trait, where no other item is allowed.
    if actor.sig.receiver().is_some() {
        return actor.plain(&actor.vis);
    }
    let ident = &actor.sig.ident;
    if let Form::Implementation(path) = &actor.form {
        // It collides with the actor that was probably imported.
        if path.is_ident(ident) {
            return hidden(actor, &actor.plain(&Visibility::Inherited));
        }
        let plain = actor.plain(&actor.vis);
        let register = register(actor);
        let implementation = quote! {
            impl __actor_core::actor::Implementation for #ident {
                const IMPLEMENTATION: &'static __actor_core::__private::ImplementationDef = loop {};
            }
        };
        let implementation = hidden(actor, &implementation);
        return quote!(#plain #register #implementation);
    }
    let plain = actor.plain(&Visibility::Inherited);
    let (unit, guard, methods) = (unit(actor), guard(actor), methods(actor));
    let (name, location) = (name(actor), location(ident));
    let glue = quote! {
        #methods
        impl __actor_core::Actor for #ident {
            type Args = ();
            type Output = ();
            type Error = ::core::convert::Infallible;
            const DEF: &'static __actor_core::__private::ActorDef = &__actor_core::__private::ActorDef::new(
                #name,
                &__actor_core::Queue::new("default"),
                &[],
                __actor_core::__private::Options::DEFAULT,
                #location,
                false,
            );
        }
        #plain
    };
    let glue = hidden(actor, &glue);
    quote!(#unit #guard #glue)
}

/// Methods that take as many arguments as the function does, of any types.
fn methods(actor: &Actor) -> TokenStream {
    let (ident, vis) = (&actor.sig.ident, &actor.vis);
    let arguments = actor.sig.inputs.iter().filter(|param| match param {
        FnArg::Typed(param) => !param.attrs.iter().any(|attr| attr.path().is_ident("state")),
        FnArg::Receiver(_) => false,
    });
    let types: Vec<_> = arguments.enumerate().map(|(index, _)| format_ident!("__{index}")).collect();
    let (control, getters) = (control(vis), getters(vis));
    quote! {
        #[allow(clippy::empty_loop, non_camel_case_types, clippy::too_many_arguments)]
        impl #ident {
            #getters
            #control

            #vis fn send<#(#types),*>(self, #(_: #types),*) -> __actor_core::Sending<'static, Self> {
                loop {}
            }

            #vis fn send_with<'broker, #(#types),*>(
                self,
                _: &'broker dyn __actor_core::Broker,
                #(_: #types),*
            ) -> __actor_core::Sending<'broker, Self> {
                loop {}
            }

            #vis fn message<#(#types),*>(self, #(_: #types),*) -> __actor_core::Message<Self> {
                loop {}
            }

            #vis fn send_many<T>(self, _: T) -> __actor_core::SendingMany<'static, Self> {
                loop {}
            }

            #vis fn send_many_with<T>(
                self,
                _: &dyn __actor_core::Broker,
                _: T,
            ) -> __actor_core::SendingMany<'_, Self> {
                loop {}
            }
        }
    }
}
