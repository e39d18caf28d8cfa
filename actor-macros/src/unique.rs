//! The option `unique`, and what stands in its parentheses.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{Expr, ExprLit, Lit, LitStr, Token, parenthesized, token};

use crate::duration;
use crate::errors::Errors;
use crate::nearest::nearest;

/// Each setting, with an example of how it is written.
const KNOWN: [(&str, &str); 4] = [
    ("by", "by = account_id"),
    ("until", "until = \"started\""),
    ("on_conflict", "on_conflict = \"replace\""),
    ("max_wait", "max_wait = \"1h\""),
];

const EXAMPLE: &str = "unique(by = account_id, until = \"started\")";

/// How an actor's messages are unique. A setting with an error is left out.
#[derive(Default)]
pub(crate) struct Unique {
    /// Over the arguments; all of them where it is missing.
    pub(crate) by: Option<Expr>,
    pub(crate) until: Until,
    pub(crate) on_conflict: OnConflict,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Until {
    #[default]
    Done,
    Started,
    /// In milliseconds.
    Window(u64),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OnConflict {
    #[default]
    Keep,
    Replace,
    /// At most for so many milliseconds.
    Postpone(Option<u64>),
    RunAgain,
}

/// Reads what follows the name `unique`, up to the comma.
pub(crate) fn parse(option: &Ident, input: ParseStream<'_>, errors: &mut Errors) -> Unique {
    let mut unique = Unique::default();
    if input.is_empty() || input.peek(Token![,]) {
        return unique;
    }
    if !input.peek(token::Paren) {
        errors.add(option, format!("write `unique` for all arguments, or as in `{EXAMPLE}`"));
        return unique;
    }
    let mut settings = |input: ParseStream<'_>| {
        let inner;
        parenthesized!(inner in input);
        read(&inner, &mut unique, errors);
        Ok::<_, syn::Error>(())
    };
    // It was seen to have parentheses, and what stands in them is read to its end.
    let _ = settings(input);
    unique
}

fn read(input: ParseStream<'_>, unique: &mut Unique, errors: &mut Errors) {
    let mut written: Vec<Ident> = Vec::new();
    let (mut max_wait, mut conflict) = (None, None);
    while !input.is_empty() {
        if let Some((setting, value)) = read_setting(input, errors) {
            if written.contains(&setting) {
                errors.add(&setting, format!("`{setting}` is set twice: remove one"));
            } else {
                match setting.to_string().as_str() {
                    "by" => unique.by = Some(value),
                    "until" => unique.until = text(&value, "until", until, errors).map_or(Until::Done, |(is, _)| is),
                    "on_conflict" => conflict = text(&value, "on_conflict", on_conflict, errors),
                    _ => max_wait = text(&value, "max_wait", duration::parse, errors),
                }
                written.push(setting);
            }
        }
        skip_past_comma(input);
    }
    if let Some((on_conflict, text)) = conflict {
        if matches!(unique.until, Until::Window(_)) && on_conflict != OnConflict::Keep {
            errors.add(text, "in a window only the first message is stored: write `on_conflict = \"keep\"`");
        } else {
            unique.on_conflict = on_conflict;
        }
    }
    match (max_wait, &mut unique.on_conflict) {
        (Some((ms, _)), OnConflict::Postpone(wait)) => *wait = Some(ms),
        (Some((_, text)), _) => {
            errors.add(text, "only what is postponed has a `max_wait`: write `on_conflict = \"postpone\"`");
        }
        (None, _) => {}
    }
}

fn read_setting(input: ParseStream<'_>, errors: &mut Errors) -> Option<(Ident, Expr)> {
    let Ok(setting) = input.call(Ident::parse_any) else {
        let odd: Option<TokenTree> = input.parse().ok();
        errors.add(odd, format!("a setting is written `name = value`, as in `{EXAMPLE}`"));
        return None;
    };
    let Some((_, example)) = KNOWN.iter().find(|(known, _)| setting == known) else {
        let known = KNOWN.map(|(known, _)| known);
        let meant = nearest(&setting.to_string(), known);
        let hint = meant.map(|word| format!(": did you mean `{word}`?")).unwrap_or_default();
        errors.add(&setting, format!("`unique` has no `{setting}`{hint}\nit has: {}", known.join(", ")));
        return None;
    };
    let value = input.parse::<Token![=]>().ok().and_then(|_| {
        let ahead = input.fork();
        let value = ahead.call(<Expr as syn::parse::Parse>::parse).ok()?;
        input.advance_to(&ahead);
        Some(value)
    });
    if value.is_none() {
        errors.add(&setting, format!("this is written `{example}`"));
    } else if !input.is_empty() && !input.peek(Token![,]) {
        let odd: Option<TokenTree> = input.parse().ok();
        errors.add(odd, "write a comma between two settings");
    }
    Some((setting, value?))
}

fn skip_past_comma(input: ParseStream<'_>) {
    while !input.is_empty() {
        if input.parse::<Token![,]>().is_ok() || input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

fn text<T>(
    value: &Expr,
    setting: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    errors: &mut Errors,
) -> Option<(T, LitStr)> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else {
        let example = KNOWN.iter().find(|(known, _)| *known == setting).map(|(_, example)| *example);
        errors.add(value, format!("this is a string literal: write `{}`", example.unwrap_or_default()));
        return None;
    };
    match parse(&text.value()) {
        Ok(parsed) => Some((parsed, text.clone())),
        Err(what) => {
            errors.add(text, what);
            None
        }
    }
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "done" => Ok(Until::Done),
        "started" => Ok(Until::Started),
        window => match duration::parse(window) {
            Ok(0) => {
                Err("nothing is unique for no time: write \"done\", \"started\" or a time, as in \"10m\"".to_owned())
            }
            Ok(ms) => Ok(Until::Window(ms)),
            Err(_) => Err(format!("there is no end `{text}`: write \"done\", \"started\" or a time, as in \"10m\"")),
        },
    }
}

fn on_conflict(text: &str) -> Result<OnConflict, String> {
    match text {
        "keep" => Ok(OnConflict::Keep),
        "replace" => Ok(OnConflict::Replace),
        "postpone" => Ok(OnConflict::Postpone(None)),
        "run_again" => Ok(OnConflict::RunAgain),
        other => Err(format!(
            "there is no `on_conflict` of `{other}`: write \"keep\", \"replace\", \"postpone\" or \"run_again\""
        )),
    }
}

impl Unique {
    /// The `Uniqueness` that it says.
    pub(crate) fn expand(&self) -> TokenStream {
        use quote::quote;
        let duration = |ms: u64| quote!(::core::time::Duration::from_millis(#ms));
        let until = match self.until {
            Until::Done => quote!(Done),
            Until::Started => quote!(Started),
            Until::Window(ms) => {
                let window = duration(ms);
                quote!(Window(#window))
            }
        };
        let on_conflict = match self.on_conflict {
            OnConflict::Keep => quote!(Keep),
            OnConflict::Replace => quote!(Replace),
            OnConflict::RunAgain => quote!(RunAgain),
            OnConflict::Postpone(max_wait) => {
                let max_wait = max_wait.map(duration).map_or_else(
                    || quote!(::core::option::Option::None),
                    |wait| quote!(::core::option::Option::Some(#wait)),
                );
                quote!(Postpone { max_wait: #max_wait })
            }
        };
        quote!(__actor_core::Uniqueness::new(__actor_core::Until::#until, __actor_core::OnConflict::#on_conflict))
    }
}
