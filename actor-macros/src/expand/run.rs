//! What the worker calls: it decodes the arguments, runs the body and returns the outcome.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::definition::owned;
use super::items::body_name;
use super::methods::{arguments, wire_name};
use super::{call_site, ends, local, location, outcome};
use crate::batch::Batch;
use crate::item::{Actor, Form};
use crate::param::{DefaultValue, Kind, Param};

/// The glue of an actor that is declared with its body.
pub(super) fn of_whole(actor: &Actor) -> TokenStream {
    let (ident, body) = (&actor.sig.ident, body_name(actor));
    glue(actor, &quote!(<Self as __actor_core::Actor>::DEF), &quote!(#ident::#body))
}

/// Output, for `async fn welcome(cx: &Context, to: String, #[state] pool: &Pool)`:
///
/// ```text
/// impl ::actor_core::actor::Implementation for welcome {
///     const IMPLEMENTATION: &'static ImplementationDef =
///         &ImplementationDef::new(<Self as Actor>::DEF, .., &[StateDef::of::<Pool>()], Handler::Async(__run));
/// }
/// #[distributed_slice(ACTOR_CORE_IMPLEMENTATIONS)]
/// static __IMPLEMENTATION: &ImplementationDef = <welcome as Implementation>::IMPLEMENTATION;
/// fn __run(call: Call) -> Running {
///     actor_future_must_be_send(async move {
///         let mut args = ArgReader::new(call.args())?;
///         let to = args.next::<String>("to")?;
///         args.finish()?;
///         let pool = call.state::<Pool>()?;
///         let returned = welcome::welcome(call.context(), to, pool).await;
///         match IntoOutcome::into_outcome(returned, None) { Ok(_) => Ok(()), Err(failure) => Err(RunError::Failed(failure)) }
///     })
/// }
/// ```
///
/// `declared` is the declaration, and `function` the path of the body.
pub(super) fn glue(actor: &Actor, declared: &TokenStream, function: &TokenStream) -> TokenStream {
    let ident = &actor.sig.ident;
    let location = location(ident);
    let states = actor.params.iter().filter_map(|param| match &param.kind {
        Kind::State(ty) => Some(quote!(__actor_core::__private::StateDef::of::<#ty>())),
        Kind::Context | Kind::Argument { .. } => None,
    });
    let defaults: Vec<String> = actor
        .params
        .iter()
        .filter_map(|param| match &param.kind {
            Kind::Argument { default: Some(_), .. } => Some(wire_name(&param.name)),
            Kind::Argument { .. } | Kind::Context | Kind::State(_) => None,
        })
        .collect();
    let defaults = (!defaults.is_empty()).then(|| quote!(.defaults(&[#(#defaults),*])));
    let batch = actor.args.batch.as_ref().map(batch);
    let decode = actor.args.batch.as_ref().map(|_| decode(actor));
    let run = run(actor, declared, function);
    let kind = if actor.sig.asyncness.is_some() { quote!(Async) } else { quote!(Blocking) };
    quote! {
        impl __actor_core::actor::Implementation for #ident {
            const IMPLEMENTATION: &'static __actor_core::__private::ImplementationDef =
                &__actor_core::__private::ImplementationDef::new(
                    #declared,
                    #location,
                    &[#(#states),*],
                    __actor_core::__private::Handler::#kind(__run),
                )#defaults #batch;
        }

        #[__actor_core::__private::linkme::distributed_slice(__actor_core::__private::ACTOR_CORE_IMPLEMENTATIONS)]
        #[linkme(crate = __actor_core::__private::linkme)]
        static __IMPLEMENTATION: &'static __actor_core::__private::ImplementationDef =
            <#ident as __actor_core::actor::Implementation>::IMPLEMENTATION;

        #decode

        #run
    }
}

/// `.batch(BatchDef::new(100, Duration::from_millis(200), __decode))`
fn batch(Batch { max, wait_ms, .. }: &Batch) -> TokenStream {
    let wait = quote!(::core::time::Duration::from_millis(#wait_ms));
    quote!(.batch(__actor_core::__private::BatchDef::new(#max, #wait, __decode)))
}

/// Output, for `async fn index(documents: Vec<Document>)` with `batch(..)`:
///
/// ```text
/// fn __decode(args: &[u8]) -> Result<Item, RunError> {
///     let mut args = ArgReader::new(args)?;
///     let documents = args.next::<Document>("documents")?;
///     args.finish()?;
///     Ok(Box::new(documents))
/// }
/// ```
fn decode(actor: &Actor) -> TokenStream {
    let (call, args) = (local("__call", actor.sig.ident.span()), local("__args", actor.sig.ident.span()));
    let argument = arguments(actor).map(|(param, _)| {
        let (read, value, at) = (read(param, &call, &args), value_of(param), call_site(param.ty.span()));
        quote_spanned! {at=>
            #read
            #args.finish()?;
            ::core::result::Result::Ok(::std::boxed::Box::new(#value))
        }
    });
    quote! {
        fn __decode(
            #args: &[u8],
        ) -> ::core::result::Result<__actor_core::__private::Item, __actor_core::__private::RunError> {
            let mut #args = __actor_core::__private::ArgReader::new(#args)?;
            #(#argument)*
        }
    }
}

fn run(actor: &Actor, declared: &TokenStream, function: &TokenStream) -> TokenStream {
    let at = call_site(actor.sig.ident.span());
    let (call, args) = (local("__call", at), local("__args", at));
    let is_batch = actor.args.batch.is_some();
    let reads = actor.params.iter().map(|param| match &param.kind {
        _ if !is_batch => read(param, &call, &args),
        kind => take(param, kind, &call),
    });
    let passed = actor.params.iter().map(|param| match &param.kind {
        Kind::Context if is_batch => {
            let context = value_of(param);
            quote_spanned!(call_site(param.name.span())=> &#context)
        }
        _ => pass(param, &call),
    });
    let awaited = actor.sig.asyncness.map(|_| quote!(.await));
    // If the returned type cannot be an outcome, the errors point at it.
    let last = ends(&super::returned(actor)).1;
    let retry_if = match &actor.args.retry_if {
        Some(retry_if) => {
            let error = outcome(actor, "Error");
            let function = quote_spanned!(call_site(retry_if.span())=> fn(&#error) -> bool);
            quote!({
                let __retry_if: #function = #retry_if;
                ::core::option::Option::Some(__retry_if)
            })
        }
        None => quote_spanned!(last=> ::core::option::Option::None),
    };
    let into_outcome = outcome(actor, "into_outcome");
    let returned = local("__returned", last);
    // An implementation knows only its declaration's constants.
    let keeps = match &actor.form {
        Form::Implementation(_) => Some(quote_spanned!(last=> #declared.options.results.is_some())),
        Form::Whole | Form::Declaration => actor.args.results.map(|_| quote_spanned!(last=> true)),
    };
    let steps = if is_batch {
        let keeping = match keeps {
            Some(keeps) => {
                quote_spanned!(last=> if #keeps { ::core::option::Option::Some(#call.batch()) } else { ::core::option::Option::None })
            }
            None => quote_spanned!(last=> ::core::option::Option::None),
        };
        let count = local("__count", last);
        let counted = arguments(actor).map(|(param, _)| {
            let items = value_of(param);
            quote!(let #count = #items.len();)
        });
        quote_spanned! {last=>
            #(#reads)*
            #(#counted)*
            let #returned = #function(#(#passed),*) #awaited;
            #into_outcome(#returned, #count, #retry_if, #keeping)
        }
    } else {
        let outcome = match keeps {
            Some(keeps) => {
                let into_kept_outcome = outcome(actor, "into_kept_outcome");
                let keeping = quote_spanned!(last=> if #keeps { ::core::option::Option::Some(&#call) } else { ::core::option::Option::None });
                quote_spanned!(last=> #into_kept_outcome(#returned, #retry_if, #keeping))
            }
            None => quote_spanned! {last=>
                match #into_outcome(#returned, #retry_if) {
                    ::core::result::Result::Ok(_) => ::core::result::Result::Ok(()),
                    ::core::result::Result::Err(__failure) => {
                        ::core::result::Result::Err(__actor_core::__private::RunError::Failed(__failure))
                    }
                }
            },
        };
        quote! {
        let mut #args = __actor_core::__private::ArgReader::new(#call.args())?;
        #(#reads)*
        #args.finish()?;
        let #returned = #function(#(#passed),*) #awaited;
        #outcome
        }
    };
    if actor.sig.asyncness.is_some() {
        quote_spanned! {at=>
            fn __run(#call: __actor_core::__private::Call) -> __actor_core::__private::Running {
                __actor_core::__private::actor_future_must_be_send(async move { #steps })
            }
        }
    } else {
        quote! {
            fn __run(
                #call: __actor_core::__private::Call,
            ) -> ::core::result::Result<(), __actor_core::__private::RunError> {
                #steps
            }
        }
    }
}

/// Reads a parameter's value from the message, or takes it from the worker.
fn read(param: &Param, call: &Ident, args: &Ident) -> TokenStream {
    let (name, wire) = (value_of(param), wire_name(&param.name));
    let at = call_site(param.name.span());
    match &param.kind {
        Kind::Context => TokenStream::new(),
        Kind::State(ty) => quote_spanned!(at=> let #name = #call.state::<#ty>()?;),
        Kind::Argument { borrowed, default } => {
            let owned = owned(&param.ty, borrowed.as_ref());
            match default {
                None => quote_spanned!(at=> let #name = #args.next::<#owned>(#wire)?;),
                Some(default) => {
                    let value = value(default, &param.ty, borrowed.as_ref());
                    quote_spanned!(at=> let #name = #args.next_or::<#owned>(#wire, || #value)?;)
                }
            }
        }
    }
}

/// Takes what a parameter of a batch is given from the worker.
fn take(param: &Param, kind: &Kind, call: &Ident) -> TokenStream {
    let (name, ty, at) = (value_of(param), &param.ty, call_site(param.name.span()));
    match kind {
        Kind::Context => quote_spanned!(at=> let #name = #call.batch();),
        Kind::State(ty) => quote_spanned!(at=> let #name = #call.state::<#ty>()?;),
        Kind::Argument { .. } => quote_spanned!(at=> let #name = #call.items::<#ty>();),
    }
}

/// The local that holds a parameter's value.
fn value_of(param: &Param) -> Ident {
    local(&format!("__arg_{}", param.name.unraw()), param.name.span())
}

fn value(default: &DefaultValue, ty: &Type, borrowed: Option<&Type>) -> TokenStream {
    match (default, borrowed) {
        (DefaultValue::OfType, _) => {
            let owned = owned(ty, borrowed);
            quote_spanned!(call_site(ty.span())=> <#owned as ::core::default::Default>::default())
        }
        (DefaultValue::Given(value), None) => quote!({ let __value: #ty = #value; __value }),
        (DefaultValue::Given(value), Some(elem)) => {
            let borrowed = quote_spanned!(call_site(elem.span())=> &);
            quote!({
                let __value: #borrowed #elem = #value;
                ::std::borrow::ToOwned::to_owned(__value)
            })
        }
    }
}

/// Passes a parameter's value to the body.
fn pass(param: &Param, call: &Ident) -> TokenStream {
    let (name, at) = (value_of(param), call_site(param.name.span()));
    match &param.kind {
        Kind::Context => quote_spanned!(at=> #call.context()),
        Kind::Argument { borrowed: Some(elem), .. } => {
            quote_spanned!(at=> ::core::borrow::Borrow::<#elem>::borrow(&#name))
        }
        Kind::State(_) | Kind::Argument { borrowed: None, .. } => quote!(#name),
    }
}
