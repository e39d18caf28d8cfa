//! One parameter of an actor's function: an argument, the run's context, or a state of the worker.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Attribute, Expr, FnArg, Meta, Pat, PatType, Signature, Type, TypeReference};

use crate::errors::Errors;
use crate::item::Form;
use crate::owned;
use crate::written::written;

pub(crate) struct Param {
    pub(crate) name: Ident,
    /// As it is written; of the argument of a batch, what one message carries.
    pub(crate) ty: Type,
    /// As it is written.
    pub(crate) taken: Type,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// `&Context`
    Context,
    /// `#[state] pool: &T`, with its `T`.
    State(Type),
    /// A value that a message carries.
    Argument {
        /// The `T` of `&T`, which is decoded owned and passed to the body by reference.
        borrowed: Option<Type>,
        /// The value if a message was sent before the argument was added.
        default: Option<DefaultValue>,
    },
}

/// The value of `#[default]`.
pub(crate) enum DefaultValue {
    OfType,
    Given(Expr),
}

impl Param {
    /// Checks a parameter of a function. `None` if it has an error.
    pub(crate) fn check(
        param: &FnArg,
        of: &Signature,
        form: &Form,
        is_batch: bool,
        errors: &mut Errors,
    ) -> Option<Self> {
        let param = match param {
            FnArg::Typed(param) => param,
            FnArg::Receiver(receiver) => {
                errors.add(
                    receiver,
                    "an actor has no `self`: move it out of the `impl`, and take what it needs as arguments",
                );
                return None;
            }
        };
        let name = name(param, of, form, errors)?;
        let attrs = Attrs::read(&param.attrs, errors);
        let kind = kind(param, attrs, of, form, is_batch, errors)?;
        let ty = (*param.ty).clone();
        Some(Self { name, taken: ty.clone(), ty, kind })
    }
}

/// Removes the attributes that only the macro understands.
pub(crate) fn strip(param: &mut FnArg) {
    let attrs = match param {
        FnArg::Typed(param) => &mut param.attrs,
        FnArg::Receiver(receiver) => &mut receiver.attrs,
    };
    attrs.retain(|attr| !attr.path().is_ident("state") && !attr.path().is_ident("default"));
}

fn name(param: &PatType, of: &Signature, form: &Form, errors: &mut Errors) -> Option<Ident> {
    let name = match &*param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            if let (Some(mutability), Form::Declaration) = (&pat.mutability, form) {
                errors.add(mutability, "`mut` belongs to the implementation: remove it here");
            }
            &pat.ident
        }
        Pat::Wild(wild) => {
            errors.add(wild, "an argument needs a name, which senders see: write `_name`");
            return None;
        }
        other => {
            errors.add(
                other,
                "an argument needs a name, which senders see: write `name: Type`, and destructure it in the body",
            );
            return None;
        }
    };
    if *name == of.ident && !matches!(form, Form::Implementation(_)) {
        errors.add(name, format!("`{name}` is the actor's name: give the argument another"));
        return None;
    }
    Some(name.clone())
}

/// The macro's own attributes of a parameter.
struct Attrs<'a> {
    state: Option<&'a Attribute>,
    default: Option<(&'a Attribute, DefaultValue)>,
}

impl<'a> Attrs<'a> {
    fn read(attrs: &'a [Attribute], errors: &mut Errors) -> Self {
        let mut read = Self { state: None, default: None };
        for attr in attrs {
            if attr.path().is_ident("state") {
                if !matches!(attr.meta, Meta::Path(_)) {
                    errors.add(attr, "write `#[state] name: &Type`: the type says which state it is");
                }
                read.state = Some(attr);
            } else if attr.path().is_ident("default") {
                let default = match &attr.meta {
                    Meta::Path(_) => DefaultValue::OfType,
                    Meta::NameValue(given) => DefaultValue::Given(given.value.clone()),
                    Meta::List(_) => {
                        errors.add(attr, "write `#[default]`, or `#[default = value]`");
                        DefaultValue::OfType
                    }
                };
                read.default = Some((attr, default));
            } else if attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr") {
                errors.add(attr, "senders and workers must agree on the arguments: remove the condition");
            }
        }
        read
    }
}

fn kind(
    param: &PatType,
    attrs: Attrs<'_>,
    of: &Signature,
    form: &Form,
    is_batch: bool,
    errors: &mut Errors,
) -> Option<Kind> {
    let ty = owned::bare(&param.ty);
    let (reference, elem) = match ty {
        Type::Reference(reference) => (Some(reference), owned::bare(&reference.elem)),
        owned => (None, owned),
    };
    let (what, no_default, borrows, at): (_, _, _, &dyn ToTokens) = match attrs.state {
        Some(attr) => ("state", "a state comes from the worker", "a state is shared by all runs", attr),
        None if is_context(elem) => ("context", "the context is not an argument", "a run borrows its context", ty),
        None => return argument(reference, elem, attrs, of, form, errors),
    };
    if let Some((default, _)) = attrs.default {
        errors.add(default, format!("{no_default}: remove the default"));
    }
    if let Form::Declaration = form {
        errors.add(at, format!("a declaration lists what is sent: move the {what} to the implementation"));
        return None;
    }
    if reference.is_none_or(|reference| reference.mutability.is_some() || reference.lifetime.is_some()) {
        errors.add(ty, format!("{borrows}: write `&{}`", written(elem)));
        return None;
    }
    if owned::is_unsized(elem) {
        let elem = written(elem);
        errors.add(ty, format!("a state's type must be sized: write `&Arc<{elem}>`, or a type of your own"));
        return None;
    }
    if attrs.state.is_some() {
        return Some(Kind::State(elem.clone()));
    }
    match (is_batch, is_named(elem, "BatchContext")) {
        (true, false) => errors.add(ty, "a run of several messages has a context of its own: write `&BatchContext`"),
        (false, true) => errors.add(ty, "only a run of several messages has one: write `&Context`"),
        _ => return Some(Kind::Context),
    }
    None
}

fn argument(
    reference: Option<&TypeReference>,
    elem: &Type,
    attrs: Attrs<'_>,
    of: &Signature,
    form: &Form,
    errors: &mut Errors,
) -> Option<Kind> {
    if let Some(TypeReference { mutability: Some(mutability), .. }) = reference {
        errors.add(mutability, format!("changes to an argument are lost: write `&{}`", written(elem)));
        return None;
    }
    // A lifetime that the function declares is an error already.
    let declares_lifetimes = of.generics.lifetimes().next().is_some();
    if let (Some(TypeReference { lifetime: Some(lifetime), .. }), false) = (reference, declares_lifetimes) {
        errors.add(lifetime, format!("an actor borrows only for its run: write `&{}`", written(elem)));
        return None;
    }
    if reference.is_none() && owned::is_unsized(elem) {
        errors.add(elem, format!("an argument must be sized: write `&{}`, or an owned type", written(elem)));
        return None;
    }
    owned::check_argument(elem, errors);
    let default = attrs.default.and_then(|(attr, default)| {
        if matches!(form, Form::Declaration) {
            errors.add(attr, "senders send every argument: move the default to the implementation");
            return None;
        }
        Some(default)
    });
    Some(Kind::Argument { borrowed: reference.map(|_| elem.clone()), default })
}

fn is_context(ty: &Type) -> bool {
    is_named(ty, "Context") || is_named(ty, "BatchContext")
}

fn is_named(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == name && last.arguments.is_empty())
}
