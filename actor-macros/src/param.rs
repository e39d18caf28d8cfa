//! One parameter of an actor's function: an argument, the run's context, or a state of the worker.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Attribute, Expr, FnArg, Meta, Pat, PatType, Type, TypeReference};

use crate::item::Form;
use crate::mistakes::Mistakes;
use crate::owned;

pub(crate) struct Param {
    pub(crate) name: Ident,
    /// As it is written.
    pub(crate) ty: Type,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// `&Context`
    Context,
    /// `#[state] pool: &T`, with its `T`.
    State(Type),
    /// What a message carries.
    Argument {
        /// The `T` of `&T`: decoded owned, and lent to the body.
        lent: Option<Type>,
        /// What stands for it in a message that was sent before the argument was added.
        default: Option<Default>,
    },
}

pub(crate) enum Default {
    OfType,
    Value(Expr),
}

/// What is known of the function that the parameter belongs to.
pub(crate) struct Place<'a> {
    pub(crate) actor: &'a Ident,
    pub(crate) form: &'a Form,
}

impl Param {
    /// Checks a parameter. `None` where it is none.
    pub(crate) fn check(param: &FnArg, place: &Place<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let param = match param {
            FnArg::Typed(param) => param,
            FnArg::Receiver(receiver) => {
                mistakes.add(receiver, "an actor is a function of its own, without `self`: take what it needs as arguments");
                return None;
            }
        };
        let name = name(param, place, mistakes)?;
        let attrs = Attrs::read(&param.attrs, mistakes);
        let kind = kind(param, attrs, place, mistakes)?;
        Some(Self { name, ty: (*param.ty).clone(), kind })
    }
}

/// Takes away what only the macro understands, so that the rest is a parameter of a plain function.
pub(crate) fn strip(param: &mut FnArg) {
    let attrs = match param {
        FnArg::Typed(param) => &mut param.attrs,
        FnArg::Receiver(receiver) => &mut receiver.attrs,
    };
    attrs.retain(|attr| !attr.path().is_ident("state") && !attr.path().is_ident("default"));
}

fn name(param: &PatType, place: &Place<'_>, mistakes: &mut Mistakes) -> Option<Ident> {
    let name = match &*param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            if let (Some(mutability), Form::Declaration) = (&pat.mutability, place.form) {
                mistakes.add(mutability, "there is no body here that could change it: `mut` belongs to the implementation");
            }
            &pat.ident
        }
        Pat::Wild(wild) => {
            mistakes.add(wild, "an argument has a name, which senders see: write `_name`");
            return None;
        }
        other => {
            mistakes.add(other, "an argument has a name, which senders see: write `name: Type`, and take it apart in the body");
            return None;
        }
    };
    if name == place.actor && !matches!(place.form, Form::Implementation(_)) {
        mistakes.add(name, format!("`{name}` is the actor itself: give the argument another name"));
        return None;
    }
    Some(name.clone())
}

/// The macro's own attributes of a parameter.
struct Attrs<'a> {
    state: Option<&'a Attribute>,
    default: Option<(&'a Attribute, Default)>,
}

impl<'a> Attrs<'a> {
    fn read(attrs: &'a [Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = Self { state: None, default: None };
        for attr in attrs {
            if attr.path().is_ident("state") {
                if !matches!(attr.meta, Meta::Path(_)) {
                    mistakes.add(attr, "write `#[state] name: &Type`: the type says which state it is");
                }
                read.state = Some(attr);
            } else if attr.path().is_ident("default") {
                let default = match &attr.meta {
                    Meta::Path(_) => Default::OfType,
                    Meta::NameValue(given) => Default::Value(given.value.clone()),
                    Meta::List(_) => {
                        mistakes.add(attr, "write `#[default]`, or `#[default = value]`");
                        Default::OfType
                    }
                };
                read.default = Some((attr, default));
            } else if attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr") {
                mistakes.add(attr, "senders and workers agree on the arguments: an argument is there in every build");
            }
        }
        read
    }
}

fn kind(param: &PatType, attrs: Attrs<'_>, place: &Place<'_>, mistakes: &mut Mistakes) -> Option<Kind> {
    let ty = owned::bare(&param.ty);
    let reference = shared(ty, mistakes)?;
    if let Some(state) = attrs.state {
        if let Some((default, _)) = attrs.default {
            mistakes.add(default, "a state comes from the worker: it has no default");
        }
        if matches!(place.form, Form::Declaration) {
            mistakes.add(state, "a declaration says what is sent: a state belongs to the implementation");
            return None;
        }
        let Some(reference) = reference else {
            mistakes.add(ty, format!("a state is shared by all runs: write `&{}`", text(ty)));
            return None;
        };
        return Some(Kind::State((*reference.elem).clone()));
    }
    if is_context(reference.map_or(ty, |reference| owned::bare(&reference.elem))) {
        if let Some((default, _)) = attrs.default {
            mistakes.add(default, "the context is no argument: it has no default");
        }
        if reference.is_none() {
            mistakes.add(ty, format!("a run is lent its context: write `&{}`", text(ty)));
            return None;
        }
        if matches!(place.form, Form::Declaration) {
            mistakes.add(ty, "a declaration says what is sent: the context belongs to the implementation");
            return None;
        }
        return Some(Kind::Context);
    }
    let default = attrs.default.and_then(|(attr, default)| {
        if matches!(place.form, Form::Declaration) {
            mistakes.add(attr, "senders send every argument: a default belongs to the implementation");
            return None;
        }
        Some(default)
    });
    owned::check_argument(reference.map_or(ty, |reference| &reference.elem), mistakes);
    Some(Kind::Argument { lent: reference.map(|reference| (*reference.elem).clone()), default })
}

/// The reference that `ty` is, if it is one. `None` where it is one that no parameter can be.
#[allow(clippy::option_option)]
fn shared<'a>(ty: &'a Type, mistakes: &mut Mistakes) -> Option<Option<&'a TypeReference>> {
    let Type::Reference(reference) = ty else { return Some(None) };
    let elem = text(&reference.elem);
    if let Some(mutability) = &reference.mutability {
        mistakes.add(mutability, format!("a run is only lent what it takes by reference: write `&{elem}`, or take it owned"));
        return None;
    }
    if let Some(lifetime) = &reference.lifetime {
        mistakes.add(lifetime, format!("what a run is lent lives as long as the run: write `&{elem}`"));
        return None;
    }
    Some(Some(reference))
}

fn is_context(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Context" && last.arguments.is_empty())
}

/// A type as people write it.
fn text(ty: &Type) -> String {
    let mut text = String::new();
    for token in ty.to_token_stream() {
        text.push_str(&token.to_string());
    }
    text
}
