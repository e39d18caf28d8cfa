//! Runs `#[actor]`: options and a function in, errors and items out.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::{args, expand, item};

pub(crate) fn actor(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = args::parse(options, &mut errors);
    let expanded = match syn::parse2(item.clone()) {
        Ok(item) => match item::check(item, args, &mut errors) {
            Ok(actor) => expand::actor(&actor),
            Err(broken) => expand::broken(&broken),
        },
        // The compiler has parsed it before, so that it is some item.
        Err(error) => {
            let what = format!("write `#[actor]` above a function ({error})");
            errors.push(syn::Error::new(error.span(), what));
            item
        }
    };
    let errors = errors.errors();
    quote!(#errors #expanded)
}

#[cfg(test)]
mod tests {
    use proc_macro2::{Group, TokenTree};

    use super::*;

    const OPTIONS: &str = r#"queue = "mail", name = "a", max_retries = 3, min_backoff = "1s", max_backoff = "2s",
        time_limit = "none", max_age = "1h", priority = "high", retry_if = |e| e.is_transient(), implements = a::b, crate = c"#;
    const FUNCTIONS: [&str; 3] = [
        r#"/// Documented.
        #[cfg(unix)] #[deprecated] #[allow(unused)] #[inline]
        pub(crate) async fn welcome(
            cx: &Context, to: &str, mut sizes: Vec<(u8, [u8; 4])>, #[state] pool: &Pool<u8>, #[default = 3] times: u8
        ) -> Result<Option<String>, MailError> { body(to).await }"#,
        "pub fn declared(id: u64, title: &str) -> Result<(), Failure>;",
        "const unsafe extern \"C\" fn odd<'a, T: X>(&self, (a, b): (&'a mut T, _), _: impl X, ...) -> ! where T: Y {}",
    ];

    /// The tokens with one removed, for each token at any depth.
    fn without_each(tokens: &TokenStream) -> Vec<TokenStream> {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut all = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let (before, after) = (&tokens[..index], &tokens[index + 1..]);
            all.push(quote!(#(#before)* #(#after)*));
            if let TokenTree::Group(group) = token {
                for inner in without_each(&group.stream()) {
                    let group = Group::new(group.delimiter(), inner);
                    all.push(quote!(#(#before)* #group #(#after)*));
                }
            }
        }
        all
    }

    /// Checks that the output parses, if the body of the function does.
    fn check(options: &TokenStream, function: &TokenStream) {
        let known = syn::parse2::<item::Item>(function.clone())
            .is_ok_and(|item| item.body.is_none_or(|body| syn::parse2::<syn::Block>(body).is_ok()));
        let output = actor(options.clone(), function.clone());
        let parsed = syn::parse2::<syn::File>(output.clone());
        assert!(!known || parsed.is_ok(), "from #[actor({options})] {function}\ncomes {output}");
    }

    #[test]
    fn no_mistake_in_the_options_or_the_function_breaks_the_macro() {
        let options: TokenStream = OPTIONS.parse().unwrap();
        for function in FUNCTIONS {
            let function: TokenStream = function.parse().unwrap();
            for options in without_each(&options).into_iter().chain([TokenStream::new(), options.clone()]) {
                check(&options, &function);
            }
            for function in without_each(&function) {
                check(&TokenStream::new(), &function);
                check(&options, &function);
            }
        }
    }
}
