//! What a user calls on an actor. The names of the parameters are the user's own.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Lifetime, ReturnType, Type};

use super::items::body_name;
use super::{call_site, docs, local, quiet, returned};
use crate::item::Actor;
use crate::param::{Kind, Param};

/// The methods of every actor.
pub(super) const NAMES: [&str; 7] = ["send", "send_with", "message", "send_many", "send_many_with", "call", "__write"];

/// Output:
///
/// ```text
/// impl welcome {
///     pub fn send(self, to: String) -> Sending<'static, Self> { self.message(to).send() }
///     pub fn send_with<'broker>(self, via_broker: &'broker dyn Broker, to: String) -> Sending<'broker, Self> { .. }
///     pub fn message(self, to: String) -> Message<Self> { Message::new(Self::__write(to)) }
///     pub fn send_many<'calls>(self, each_call: impl IntoIterator<..>) -> SendingMany<'calls, Self> { .. }
///     pub fn send_many_with<'calls>(self, via_broker: &'calls dyn Broker, each_call: ..) -> SendingMany<'calls, Self> { .. }
///     pub async fn call(self, to: String) -> Result<(), MailError> { Self::welcome(to).await }
///     fn __write(to: String) -> ArgWriter { .. }
/// }
/// ```
pub(super) fn methods(actor: &Actor) -> TokenStream {
    let (cfgs, quiet) = (&actor.attrs.cfgs, quiet(&actor.attrs));
    let name = &actor.sig.ident;
    let one = one(actor);
    let many = many(actor);
    let call = actor.body.is_some().then(|| call(actor));
    let write = write(actor);
    quote! {
        #(#cfgs)*
        #quiet
        // The actor's type is the interface, also where an argument's type is less visible: that
        // is an error, and it is told once.
        #[allow(non_local_definitions, private_interfaces, clippy::too_many_arguments, clippy::impl_trait_in_params)]
        impl #name {
            #one
            #many
            #call
            #write
        }
    }
}

fn one(actor: &Actor) -> TokenStream {
    let vis = &actor.vis;
    let (names, types): (Vec<_>, Vec<_>) = arguments(actor).map(|(param, _)| (&param.name, &param.ty)).unzip();
    let at = call_site(actor.sig.ident.span());
    let (send, send_with, message) = (Ident::new("send", at), Ident::new("send_with", at), Ident::new("message", at));
    let broker = local("via_broker", at);
    let docs = |line| docs::of_method(line, &actor.attrs);
    let send_docs = docs("Sends a message to this actor, through the installed broker.");
    let send_with_docs = docs("Sends a message to this actor, through `via_broker`.");
    let message_docs = docs("Makes a message to this actor, to be sent with settings of its own.");
    quote! {
        #send_docs
        #vis fn #send(self, #(#names: #types),*) -> ::actor_core::Sending<'static, Self> {
            self.message(#(#names),*).send()
        }

        #send_with_docs
        #vis fn #send_with<'broker>(
            self,
            #broker: &'broker dyn ::actor_core::Broker,
            #(#names: #types),*
        ) -> ::actor_core::Sending<'broker, Self> {
            self.message(#(#names),*).send_with(#broker)
        }

        #message_docs
        #vis fn #message(self, #(#names: #types),*) -> ::actor_core::Message<Self> {
            ::actor_core::Message::new(Self::__write(#(#names),*))
        }
    }
}

fn many(actor: &Actor) -> TokenStream {
    let vis = &actor.vis;
    let names: Vec<&Ident> = arguments(actor).map(|(param, _)| &param.name).collect();
    let at = call_site(actor.sig.ident.span());
    let (mut lifetimes, mut types) = (Vec::new(), Vec::new());
    for (param, borrowed) in arguments(actor) {
        types.push(match borrowed {
            Some(elem) => {
                let lifetime = Lifetime::new(&format!("'item{}", lifetimes.len()), at);
                lifetimes.push(lifetime.clone());
                quote!(&#lifetime #elem)
            }
            None => {
                let ty = &param.ty;
                quote!(#ty)
            }
        });
    }
    let (item, pattern) = match (&types[..], &names[..]) {
        ([ty], [name]) => (quote!(#ty), quote!(#name)),
        _ => (quote_spanned!(at=> (#(#types),*)), quote!((#(#names),*))),
    };
    let single_use = (!lifetimes.is_empty()).then(|| quote!(#[allow(single_use_lifetimes)]));
    let (send_many, send_many_with) = (Ident::new("send_many", at), Ident::new("send_many_with", at));
    let broker = local("via_broker", at);
    let calls = local("each_call", at);
    let iterator = quote_spanned! {at=>
        impl ::core::iter::IntoIterator<Item = #item, IntoIter: ::core::marker::Send + 'calls>
    };
    let written = quote! {
        ::core::iter::Iterator::map(
            ::core::iter::IntoIterator::into_iter(#calls),
            |#pattern: #item| Self::__write(#(#names),*),
        )
    };
    let docs = |line| docs::of_method(line, &actor.attrs);
    let send_many_docs = docs("Sends a message to this actor for each item, in batches, through the installed broker.");
    let send_many_with_docs = docs("Sends a message to this actor for each item, in batches, through `via_broker`.");
    quote! {
        #send_many_docs
        #single_use
        #vis fn #send_many<'calls, #(#lifetimes),*>(self, #calls: #iterator) -> ::actor_core::SendingMany<'calls, Self> {
            ::actor_core::SendingMany::installed(#written)
        }

        #send_many_with_docs
        #single_use
        #vis fn #send_many_with<'calls, #(#lifetimes),*>(
            self,
            #broker: &'calls dyn ::actor_core::Broker,
            #calls: #iterator,
        ) -> ::actor_core::SendingMany<'calls, Self> {
            ::actor_core::SendingMany::through(#broker, #written)
        }
    }
}

fn call(actor: &Actor) -> TokenStream {
    let (vis, asyncness, body) = (&actor.vis, &actor.sig.asyncness, body_name(actor));
    let (names, types): (Vec<_>, Vec<_>) = actor.params.iter().map(|param| (&param.name, &param.ty)).unzip();
    let awaited = asyncness.map(|_| quote!(.await));
    let output = returned(actor);
    let arrow = match actor.sig.output {
        ReturnType::Default => None,
        ReturnType::Type(..) => Some(quote!(-> #output)),
    };
    let call = Ident::new("call", call_site(actor.sig.ident.span()));
    let docs = docs::of_method("Runs the body of this actor here, without a message.", &actor.attrs);
    quote! {
        #docs
        #vis #asyncness fn #call(self, #(#names: #types),*) #arrow {
            Self::#body(#(#names),*) #awaited
        }
    }
}

fn write(actor: &Actor) -> TokenStream {
    let (names, types): (Vec<_>, Vec<_>) = arguments(actor).map(|(param, _)| (&param.name, &param.ty)).unzip();
    let writer = local("__writer", actor.sig.ident.span());
    let pushes = arguments(actor).map(|(param, borrowed)| {
        let (name, wire) = (&param.name, wire_name(&param.name));
        // An argument that cannot be serialized is an error in its type.
        let at = call_site(param.ty.span());
        let borrow = borrowed.is_none().then(|| quote_spanned!(at=> &));
        let mut value = name.clone();
        value.set_span(at.resolved_at(name.span()));
        quote_spanned!(at=> #writer.push(#wire, #borrow #value);)
    });
    quote! {
        fn __write(#(#names: #types),*) -> ::actor_core::__private::ArgWriter {
            let mut #writer = ::actor_core::__private::ArgWriter::new();
            #(#pushes)*
            #writer
        }
    }
}

/// The parameters that a message carries, and what they are borrowed as.
pub(super) fn arguments(actor: &Actor) -> impl Iterator<Item = (&Param, Option<&Type>)> {
    actor.params.iter().filter_map(|param| match &param.kind {
        Kind::Argument { borrowed, .. } => Some((param, borrowed.as_ref())),
        Kind::Context | Kind::State(_) => None,
    })
}

/// An argument's name in errors and in the registry.
pub(super) fn wire_name(name: &Ident) -> String {
    name.unraw().to_string()
}
