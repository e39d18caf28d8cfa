//! The documents of what is generated: a line of the macro's own, and what the user says of the actor.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use crate::args::Args;
use crate::attrs::Attrs;

/// The line that tells a reader why a type has a function's name. An actor without documents stays
/// without, so that the user is reminded of them.
pub(super) fn of_unit(attrs: &Attrs, args: &Args) -> Option<TokenStream> {
    let queue = args.queue.as_ref().map_or_else(|| "default".to_owned(), syn::LitStr::value);
    let line = format!("An actor of the queue `{queue}`: [`send`](Self::send) it a message.");
    text(&attrs.docs).next().map(|_| quote!(#[doc = ""] #[doc = #line]))
}

/// What a method does, and what the actor does.
pub(super) fn of_method(line: &str, attrs: &Attrs) -> TokenStream {
    let summary = summary(&attrs.docs).map(|summary| quote!(#[doc = ""] #[doc = #summary]));
    quote!(#[doc = #line] #summary)
}

/// The first paragraph of the user's own documents. One with links is left out: what they refer to may
/// be defined in a later one.
fn summary(docs: &[Attribute]) -> Option<String> {
    let text = text(docs).collect::<Vec<_>>().join("\n");
    let is_blank = |line: &&str| line.trim().is_empty();
    let lines: Vec<&str> = text.lines().skip_while(is_blank).take_while(|line| !is_blank(line)).collect();
    let paragraph = lines.join("\n");
    let plain =
        !lines.is_empty() && !paragraph.contains('[') && !paragraph.contains("```") && !paragraph.contains("~~~");
    plain.then_some(paragraph)
}

/// The texts of `#[doc = ".."]` and of `///`.
fn text(docs: &[Attribute]) -> impl Iterator<Item = String> {
    docs.iter().filter_map(|doc| match &doc.meta {
        Meta::NameValue(doc) => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        Meta::Path(_) | Meta::List(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn the_first_paragraph_is_the_summary() {
        let docs: [Attribute; 4] = [
            parse_quote!(#[doc = " Welcomes"]),
            parse_quote!(#[doc = " somebody."]),
            parse_quote!(#[doc = ""]),
            parse_quote!(#[doc = " Once."]),
        ];
        assert_eq!(summary(&docs).as_deref(), Some(" Welcomes\n somebody."));
        assert_eq!(summary(&docs[2..3]), None);
        assert_eq!(summary(&[parse_quote!(#[doc = "\nIn a block.\n\nMore."])]).as_deref(), Some("In a block."));
    }

    #[test]
    fn a_summary_that_cannot_stand_alone_is_left_out() {
        assert_eq!(summary(&[parse_quote!(#[doc = "As [the page][1] says."])]), None);
        assert_eq!(summary(&[parse_quote!(#[doc = "```"]), parse_quote!(#[doc = "let a = 1;"])]), None);
        assert_eq!(summary(&[parse_quote!(#[doc(hidden)]), parse_quote!(#[doc = include_str!("a.md")])]), None);
    }
}
