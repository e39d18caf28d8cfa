//! The methods of an actor. Their parameters have the names that the user gave them.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, Lifetime, ReturnType, Type, Visibility};

use super::items::body_name;
use super::{call_site, local, returned};
use crate::item::Actor;
use crate::param::{Kind, Param};

pub(super) const NAMES: [&str; 14] = [
    "send",
    "send_with",
    "message",
    "send_many",
    "send_many_with",
    "call",
    "cancel",
    "delete",
    "reschedule",
    "result",
    "status",
    "name",
    "queue",
    "__write",
];

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
///     pub fn cancel(self, sent_message: MessageId) -> Asking<'static, Cancelled> { .. }
///     pub fn delete(self, sent_message: MessageId) -> Asking<'static, Deleted> { .. }
///     pub fn reschedule(self, sent_message: MessageId, new_start: When) -> Asking<'static, Rescheduled> { .. }
///     pub fn status(self, sent_message: MessageId) -> Asking<'static, Status> { .. }
///     pub fn result<'reader>(self, sent_message: MessageId, at_most: Duration) -> <Self as ReadsResults<'reader>>::Awaiting
///     where
///         Self: ReadsResults<'reader>,
///     { .. }
///     pub const fn name(self) -> &'static str { .. }
///     pub fn queue(self) -> QueueName { .. }
///     fn __write(to: String) -> ArgWriter { .. }
/// }
/// ```
pub(super) fn methods(actor: &Actor) -> TokenStream {
    let name = &actor.sig.ident;
    let (one, many, call, write) = (one(actor), many(actor), call(actor), write(actor));
    let (control, getters) = (control(&actor.vis), getters(&actor.vis));
    let result = result(&actor.vis);
    quote! {
        // An argument's type that is less visible than the actor is an error already. The lint would
        // repeat it for each method.
        #[allow(non_local_definitions, private_interfaces, clippy::too_many_arguments, clippy::impl_trait_in_params)]
        impl #name {
            #one
            #many
            #call
            #control
            #result
            #getters
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
    quote! {
        /// Sends a message to this actor, through the installed broker.
        #vis fn #send(self, #(#names: #types),*) -> __actor_core::Sending<'static, Self> {
            self.message(#(#names),*).send()
        }

        /// Sends a message to this actor, through `via_broker`.
        #vis fn #send_with<'broker>(
            self,
            #broker: &'broker dyn __actor_core::Broker,
            #(#names: #types),*
        ) -> __actor_core::Sending<'broker, Self> {
            self.message(#(#names),*).send_with(#broker)
        }

        /// Makes a message to this actor, to be sent with settings of its own.
        #vis fn #message(self, #(#names: #types),*) -> __actor_core::Message<Self> {
            __actor_core::Message::new(Self::__write(#(#names),*))
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
    quote! {
        /// Sends a message to this actor for each item, in batches, through the installed broker.
        #single_use
        #vis fn #send_many<'calls, #(#lifetimes),*>(self, #calls: #iterator) -> __actor_core::SendingMany<'calls, Self> {
            __actor_core::SendingMany::installed(#written)
        }

        /// Sends a message to this actor for each item, in batches, through `via_broker`.
        #single_use
        #vis fn #send_many_with<'calls, #(#lifetimes),*>(
            self,
            #broker: &'calls dyn __actor_core::Broker,
            #calls: #iterator,
        ) -> __actor_core::SendingMany<'calls, Self> {
            __actor_core::SendingMany::through(#broker, #written)
        }
    }
}

/// Without a body, a `call` that the compiler refuses, saying what to write.
fn call(actor: &Actor) -> TokenStream {
    let (vis, asyncness, body) = (&actor.vis, &actor.sig.asyncness, body_name(actor));
    let (names, types): (Vec<_>, Vec<_>) = actor.params.iter().map(|param| (&param.name, &param.taken)).unzip();
    let output = returned(actor);
    let call = Ident::new("call", call_site(actor.sig.ident.span()));
    if actor.body.is_none() {
        // An `async fn` would report the missing body twice more, for its hidden type.
        let output = if asyncness.is_some() { quote!(::core::future::Ready<#output>) } else { output };
        return quote! {
            #[doc(hidden)]
            #[allow(single_use_lifetimes)]
            #vis fn #call<'caller>(self, #(_: #types),*) -> #output
            where
                Self: __actor_core::__private::HasBody<'caller>,
            {
                <Self as __actor_core::__private::HasBody<'caller>>::call()
            }
        };
    }
    let arrow = match actor.sig.output {
        ReturnType::Default => None,
        ReturnType::Type(..) => Some(quote!(-> #output)),
    };
    let awaited = asyncness.map(|_| quote!(.await));
    quote! {
        /// Runs the body of this actor here, without a message.
        #vis #asyncness fn #call(self, #(#names: #types),*) #arrow {
            Self::#body(#(#names),*) #awaited
        }
    }
}

/// The methods that change what was sent, or say where it is. An actor named as their parameters are would be taken for a pattern.
pub(super) fn control(vis: &Visibility) -> TokenStream {
    quote! {
        /// Cancels a message to this actor, through the installed broker.
        #vis fn cancel(
            self,
            sent_message: __actor_core::MessageId,
        ) -> __actor_core::control::Asking<'static, __actor_core::control::Cancelled> {
            __actor_core::control::Asking::cancel(<Self as __actor_core::Actor>::DEF, sent_message, ::core::option::Option::None)
        }

        /// Deletes a message to this actor that waits or is dead, through the installed broker.
        #vis fn delete(
            self,
            sent_message: __actor_core::MessageId,
        ) -> __actor_core::control::Asking<'static, __actor_core::control::Deleted> {
            __actor_core::control::Asking::delete(<Self as __actor_core::Actor>::DEF, sent_message)
        }

        /// Where a message to this actor stands, or how it ended, through the installed broker.
        #vis fn status(
            self,
            sent_message: __actor_core::MessageId,
        ) -> __actor_core::control::Asking<'static, __actor_core::results::Status> {
            __actor_core::control::Asking::status(<Self as __actor_core::Actor>::DEF, sent_message, ::core::option::Option::None)
        }

        /// Has a message to this actor that waits start at another time, through the installed broker.
        #vis fn reschedule(
            self,
            sent_message: __actor_core::MessageId,
            new_start: __actor_core::When,
        ) -> __actor_core::control::Asking<'static, __actor_core::control::Rescheduled> {
            __actor_core::control::Asking::reschedule(<Self as __actor_core::Actor>::DEF, sent_message, new_start)
        }
    }
}

/// The method that waits for a result. The compiler checks where it is called whether there can be one.
fn result(vis: &Visibility) -> TokenStream {
    quote! {
        /// Waits for at most so long until a message to this actor has ended, and returns what its run did, through the
        /// installed broker.
        #[allow(single_use_lifetimes)]
        #vis fn result<'reader>(
            self,
            sent_message: __actor_core::MessageId,
            at_most: ::core::time::Duration,
        ) -> <Self as __actor_core::results::ReadsResults<'reader>>::Awaiting
        where
            Self: __actor_core::results::ReadsResults<'reader>,
        {
            <Self as __actor_core::results::ReadsResults<'reader>>::read(sent_message, at_most)
        }
    }
}

/// The methods that read the declaration.
pub(super) fn getters(vis: &Visibility) -> TokenStream {
    quote! {
        /// The name of this actor in messages.
        #vis const fn name(self) -> &'static str {
            <Self as __actor_core::Actor>::DEF.name
        }

        /// The queue that messages to this actor go to.
        #vis fn queue(self) -> __actor_core::QueueName {
            <Self as __actor_core::Actor>::DEF.queue_name()
        }
    }
}

fn write(actor: &Actor) -> TokenStream {
    let (names, types): (Vec<_>, Vec<_>) = arguments(actor).map(|(param, _)| (&param.name, &param.ty)).unzip();
    let writer = local("__writer", actor.sig.ident.span());
    let pushes = arguments(actor).map(|(param, borrowed)| {
        let (name, wire) = (&param.name, wire_name(&param.name));
        // If it cannot be serialized, the error points at its type.
        let at = call_site(borrowed.unwrap_or(&param.ty).span());
        let borrow = borrowed.is_none().then(|| quote_spanned!(at=> &));
        let mut value = name.clone();
        value.set_span(at.resolved_at(name.span()));
        quote_spanned!(at=> #writer.push(#wire, #borrow #value);)
    });
    // Before the arguments are written, so that an error in them is the first.
    let key = actor.args.key.as_ref().map(|key| quote_spanned!(call_site(key.span())=> #writer.key(&(#key));));
    let cost = actor.args.cost.as_ref().map(|cost| quote_spanned!(call_site(cost.span())=> #writer.cost(#cost);));
    let by = actor.args.unique.as_ref().and_then(|unique| unique.by.as_ref());
    let unique = by.map(|by| {
        let by = borrowed(by);
        quote_spanned!(call_site(by.span())=> #writer.unique(#by);)
    });
    quote! {
        fn __write(#(#names: #types),*) -> __actor_core::__private::ArgWriter {
            let mut #writer = __actor_core::__private::ArgWriter::new();
            #key
            #cost
            #unique
            #(#pushes)*
            #writer
        }
    }
}

/// A reference to what an expression is. One to a tuple moves nothing into it.
fn borrowed(by: &Expr) -> TokenStream {
    match by {
        Expr::Tuple(tuple) => {
            let parts = tuple.elems.iter().map(borrowed);
            quote_spanned!(call_site(by.span())=> &(#(#parts,)*))
        }
        by => quote_spanned!(call_site(by.span())=> &(#by)),
    }
}

/// The parameters that a message carries, each with the `T` of its `&T`.
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
