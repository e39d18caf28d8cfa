//! Formats tokens for error messages.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of some tokens, formatted as rustfmt formats a type.
pub(crate) fn written(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        let word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        if text.ends_with(',') || word && text.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            text.push(' ');
        }
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) if punct.as_char() == '+' => text.push_str(" + "),
            TokenTree::Punct(punct) if punct.as_char() == ';' => text.push_str("; "),
            // After a comma that ends a line.
            TokenTree::Punct(punct) if punct.as_char() == '>' && text.ends_with(", ") => {
                text.truncate(text.len() - 2);
                text.push('>');
            }
            token => text.push_str(&token.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::Type;

    use super::*;

    #[test]
    fn a_type_is_written_as_people_write_it() {
        for text in ["Vec<(String, u8)>", "dyn fmt::Debug + Send + 'static", "[u8; 4]", "&mut Option<&str>"] {
            let ty: Type = syn::parse_str(text).unwrap();
            assert_eq!(written(&ty), text);
        }
        let long: Type = syn::parse_str("HashMap<\n    String,\n    u8,\n>").unwrap();
        assert_eq!(written(&long), "HashMap<String, u8>");
    }
}
