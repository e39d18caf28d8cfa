//! Reads the function below `#[actor]`, and collects all errors in it.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, Path, ReturnType, Safety, Signature, Token, Type, Visibility};

use crate::args::{Args, Millis};
use crate::attrs::Attrs;
use crate::errors::Errors;
use crate::owned::{self, bare};
use crate::param::{Kind, Param, strip};
use crate::{batch, name};

/// A function as written. Its body stays unparsed, so that one that is being typed still expands.
pub(crate) struct Item {
    pub(crate) attrs: Attrs,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Option<TokenStream>,
}

/// How an actor's function is used.
pub(crate) enum Form {
    /// A declaration with a body: the actor and its implementation.
    Whole,
    /// A declaration without a body.
    Declaration,
    /// The implementation of the actor that is declared at this path.
    Implementation(Path),
}

/// A function with what its options and its parameters say.
pub(crate) struct Actor {
    pub(crate) attrs: Attrs,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Option<TokenStream>,
    pub(crate) form: Form,
    pub(crate) params: Vec<Param>,
    pub(crate) args: Args,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = Attrs::sort(input.call(Attribute::parse_outer)?);
        let vis = input.parse()?;
        let sig = input.parse()?;
        let body = match input.parse::<Token![;]>() {
            Ok(_) => None,
            Err(_) => Some(body(input)?),
        };
        Ok(Self { attrs, vis, sig, body })
    }
}

/// A group in braces, or the `$body:block` of another macro.
fn body(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    match input.parse()? {
        TokenTree::Group(group) if matches!(group.delimiter(), Delimiter::Brace | Delimiter::None) => {
            Ok(group.into_token_stream())
        }
        other => Err(syn::Error::new_spanned(other, "expected `{` or `;`")),
    }
}

/// Checks the function and its options. It is an error where the signature cannot be expanded.
pub(crate) fn check(mut item: Item, mut args: Args, errors: &mut Errors) -> Result<Actor, Box<Actor>> {
    let form = match (&args.implements, &item.body) {
        (Some(path), _) => Form::Implementation(path.clone()),
        (None, Some(_)) => Form::Whole,
        (None, None) => Form::Declaration,
    };
    check_options(&item, &mut args, &form, errors);
    item.attrs.check(errors);
    let before = errors.len();
    check_signature(&item.sig, errors);
    if let Form::Implementation(path) = &form {
        check_implementation(&item, path, errors);
    }
    let is_batch = args.batch.is_some();
    let check = |param| Param::check(param, &item.sig, &form, is_batch, errors);
    let mut params: Vec<Param> = item.sig.inputs.iter().filter_map(check).collect();
    check_defaults(&params, errors);
    if is_batch && params.len() == item.sig.inputs.len() {
        batch::check(&mut params, &item.sig, errors);
    }
    check_cron(&params, &args, errors);
    owned::check_return(&item.sig.output, errors);
    let Item { attrs, vis, sig, body } = item;
    let mut actor = Actor { attrs, vis, sig, body, form, params, args };
    if errors.len() > before {
        return Err(Box::new(actor));
    }
    actor.sig.inputs.iter_mut().for_each(strip);
    Ok(actor)
}

fn check_options(item: &Item, args: &mut Args, form: &Form, errors: &mut Errors) {
    if let Form::Implementation(_) = form {
        for option in &args.written {
            if !["implements", "retry_if", "batch", "crate"].iter().any(|allowed| option == allowed) {
                errors.add(option, format!("`{option}` belongs to the declaration: remove it here"));
            }
        }
    } else if args.name.is_none()
        && let Err(what) = name::check(&item.sig.ident.unraw().to_string())
    {
        errors.add(&item.sig.ident, format!("{what}, or give the actor another name with `name = \"..\"`"));
    }
    check_backoff(args, errors);
    if item.body.is_none()
        && let Some(batch) = args.batch.take()
    {
        errors.add(
            batch.option,
            "`batch` belongs to the implementation: remove it here, and declare what one message carries",
        );
    }
    args.retry_if = args.retry_if.take().filter(|retry_if| {
        if item.body.is_none() {
            errors.add(retry_if, "`retry_if` belongs to the implementation: remove it here");
            return false;
        }
        let fails = !returns_nothing(&item.sig.output);
        if !fails {
            errors.add(retry_if, "this actor cannot fail: return `Result<(), E>`, or remove `retry_if`");
        }
        fails
    });
}

fn check_implementation(item: &Item, path: &Path, errors: &mut Errors) {
    let ident = &item.sig.ident;
    if item.body.is_none() {
        errors.add(ident, "an implementation has a body: write `{ .. }` instead of `;`");
    }
    if path.is_ident(ident) {
        let what = "is this function itself: write where the actor is declared";
        errors.add(path, format!("`{ident}` {what}, as in `implements = tasks::{ident}`, and do not import it"));
    }
}

fn check_backoff(args: &Args, errors: &mut Errors) {
    const DEFAULT_MIN: u64 = 15_000;
    const DEFAULT_MAX: u64 = 7 * 86_400_000;
    match (&args.min_backoff, &args.max_backoff) {
        (Some(Millis(min, at)), Some(Millis(max, _))) if min > max => {
            errors.add(at, "`min_backoff` is longer than `max_backoff`: write a shorter one");
        }
        (Some(Millis(min, at)), None) if *min > DEFAULT_MAX => {
            errors.add(at, "this is longer than `max_backoff` (7 days by default): set `max_backoff` too");
        }
        (None, Some(Millis(max, at))) if *max < DEFAULT_MIN => {
            errors.add(at, "this is shorter than `min_backoff` (15 s by default): set `min_backoff` too");
        }
        _ => {}
    }
}

fn check_signature(sig: &Signature, errors: &mut Errors) {
    if let Some(constness) = &sig.constness {
        errors.add(constness, "an actor runs in a worker: remove `const`");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.add(token, "a worker calls the actor as safe code: remove `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        errors.add(abi, "an actor is a Rust function: remove `extern`");
    }
    if sig.generics.lifetimes().next().is_some() {
        errors.add(&sig.generics, "an actor borrows only for its run: write `&T`, without a lifetime");
    } else if !sig.generics.params.is_empty() {
        errors.add(&sig.generics, "an actor cannot be generic: write concrete types");
    }
    if let Some(where_clause) = &sig.generics.where_clause {
        errors.add(where_clause, "an actor cannot be generic: remove the `where` clause");
    }
    if let Some(variadic) = &sig.variadic {
        errors.add(variadic, "an actor has a fixed number of arguments: remove the `...`");
    }
}

/// A message from before an argument was added lacks it and all that follow it, so all need a default.
fn check_defaults(params: &[Param], errors: &mut Errors) {
    let mut defaulted = None;
    for param in params {
        match &param.kind {
            Kind::Argument { default: Some(_), .. } => defaulted = Some(&param.name),
            Kind::Argument { default: None, .. } if !is_option(&param.ty) => {
                if let Some(before) = defaulted {
                    let name = &param.name;
                    errors.add(
                        name,
                        format!(
                            "`{before}` before it has a default: give `{name}` one too, or move `{name}` before `{before}`"
                        ),
                    );
                }
            }
            _ => {}
        }
    }
}

/// A schedule sends no arguments, and its options need a pattern.
fn check_cron(params: &[Param], args: &Args, errors: &mut Errors) {
    let has_pattern = args.written.iter().any(|option| option == "cron");
    if !has_pattern {
        let of_cron = |option: &&Ident| ["timezone", "overlap", "catch_up", "jitter"].iter().any(|of| option == of);
        for option in args.written.iter().filter(of_cron) {
            errors.add(option, format!("`{option}` belongs to a schedule: add `cron = \"..\"`, or remove it"));
        }
        return;
    }
    if let Some(argument) = params.iter().find(|param| matches!(param.kind, Kind::Argument { .. })) {
        errors.add(
            &argument.name,
            "a schedule sends no arguments: remove them, or remove `cron` and store schedules with `Schedule` at run time",
        );
    }
}

fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = bare(ty) else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Option")
}

fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

impl Actor {
    /// The plain function, without the macro's own attributes and with some body, so that what it uses
    /// counts as used. Nothing if rustc would report the error again.
    pub(crate) fn plain(&self, vis: &Visibility) -> TokenStream {
        let refused = |param: &FnArg| matches!(param, FnArg::Typed(param) if owned::is_refused_by_rustc(&param.ty));
        if self.sig.inputs.iter().any(refused) {
            return TokenStream::new();
        }
        let body = self.body.as_ref().map_or_else(|| quote!({ loop {} }), ToTokens::to_token_stream);
        let unused = self.body.is_none().then(|| quote!(#[allow(unused_variables, unused_mut)]));
        let Attrs { docs, cfgs, deprecated, allows, rest } = &self.attrs;
        let mut sig = self.sig.clone();
        sig.inputs.iter_mut().for_each(strip);
        quote!(#unused #(#docs)* #(#cfgs)* #(#deprecated)* #(#allows)* #(#rest)* #vis #sig #body)
    }
}
