//! The option `batch(max = .., wait = "..")`, and what it asks of the function.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, ExprLit, GenericArgument, Lit, PathArguments, Signature, Type, token};

use crate::duration;
use crate::errors::Errors;
use crate::owned::bare;
use crate::param::{Kind, Param};
use crate::written::written;

/// How it is written.
pub(crate) const EXAMPLE: &str = "batch(max = 100, wait = \"200ms\")";

/// A worker keeps so many messages for batches of a queue, at most.
const LARGEST: u64 = 8_192;

/// The option. What is wrong in it stands for the least.
pub(crate) struct Batch {
    pub(crate) option: Ident,
    pub(crate) max: usize,
    pub(crate) wait_ms: u64,
}

impl Batch {
    pub(crate) fn least(option: &Ident) -> Self {
        Self { option: option.clone(), max: 1, wait_ms: 1 }
    }
}

/// The settings in their parentheses.
pub(crate) fn parse(input: ParseStream<'_>) -> Option<Expr> {
    if !input.peek(token::Paren) {
        return None;
    }
    let ahead = input.fork();
    let settings = ahead.call(Expr::parse).ok()?;
    input.advance_to(&ahead);
    Some(settings)
}

/// Reads the settings.
pub(crate) fn read(settings: &Expr, option: &Ident, errors: &mut Errors) -> Batch {
    let settings: Vec<&Expr> = match settings {
        Expr::Paren(only) => vec![&only.expr],
        Expr::Tuple(settings) => settings.elems.iter().collect(),
        other => vec![other],
    };
    let (mut batch, mut known, before) = (Batch::least(option), Vec::new(), errors.len());
    for setting in settings {
        let Expr::Assign(assign) = setting else {
            errors.add(setting, format!("this option is written `{EXAMPLE}`"));
            continue;
        };
        let name = assign.left.to_token_stream().to_string();
        match &*name {
            _ if known.contains(&name) => errors.add(&assign.left, format!("`{name}` is set twice: remove one")),
            "max" => batch.max = number(&assign.right, errors).unwrap_or(1),
            "wait" => batch.wait_ms = wait(&assign.right, errors).unwrap_or(1),
            _ => errors.add(&assign.left, format!("a batch has no setting `{name}`: write `{EXAMPLE}`")),
        }
        known.push(name);
    }
    let lacks = |name: &str| errors.len() == before && known.iter().all(|known| known != name);
    let (lacks_max, lacks_wait) = (lacks("max"), lacks("wait"));
    if lacks_max {
        errors.add(option, format!("a batch needs the most messages that it takes: write `{EXAMPLE}`"));
    } else if lacks_wait {
        errors.add(option, format!("a batch needs how long its first message waits for others: write `{EXAMPLE}`"));
    }
    batch
}

fn number(value: &Expr, errors: &mut Errors) -> Option<usize> {
    if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = value
        && let Ok(number) = number.base10_parse::<u64>()
        && (1..=LARGEST).contains(&number)
    {
        return usize::try_from(number).ok();
    }
    errors.add(value, format!("a batch takes from 1 to {LARGEST} messages: write `max = 100`"));
    None
}

fn wait(value: &Expr, errors: &mut Errors) -> Option<u64> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else {
        errors.add(value, "a duration is a string with a unit: write `wait = \"200ms\"`");
        return None;
    };
    match duration::parse(&text.value()) {
        Ok(0) => errors.add(text, "without a wait no batch has a second message: write `wait = \"10ms\"`"),
        Ok(ms) => return Some(ms),
        Err(what) => errors.add(text, what),
    }
    None
}

/// Checks that the function takes what it is given, and makes the type of its argument that of one message's.
pub(crate) fn check(params: &mut [Param], sig: &Signature, errors: &mut Errors) {
    let mut arguments = params.iter_mut().filter(|param| matches!(param.kind, Kind::Argument { .. }));
    let Some(only) = arguments.next() else {
        errors.add(&sig.ident, "an actor with `batch(..)` takes its messages in one argument: add `items: Vec<T>`");
        return;
    };
    if let Some(second) = arguments.next() {
        let what = "an actor with `batch(..)` has one argument: put what a message carries into one type `T`, and take `Vec<T>`";
        errors.add(&second.name, what);
        return;
    }
    let ty = bare(&only.ty);
    let Some(item) = element(ty) else {
        let each = match &only.kind {
            Kind::Argument { borrowed: Some(Type::Slice(slice)), .. } => written(&slice.elem),
            Kind::Argument { borrowed: Some(other), .. } => written(other),
            _ => written(ty),
        };
        errors.add(ty, format!("an actor with `batch(..)` takes several messages at once: write `Vec<{each}>`"));
        return;
    };
    if let Kind::Argument { default: Some(_), .. } = only.kind {
        errors.add(&only.name, "each message of a batch has this argument: remove the default");
        return;
    }
    only.ty = item;
}

/// The `T` of `Vec<T>`.
fn element(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Vec")?;
    let PathArguments::AngleBracketed(generics) = &last.arguments else { return None };
    match generics.args.iter().collect::<Vec<_>>()[..] {
        [GenericArgument::Type(item)] => Some(item.clone()),
        _ => None,
    }
}
