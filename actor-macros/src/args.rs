//! The options between the parentheses of `#[actor(..)]`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token};

use crate::batch::Batch;
use crate::errors::Errors;
use crate::nearest::nearest;
use crate::unique::{self, Unique};
use crate::{batch, cron, duration, name};

/// Every option, with an example of how it is written.
const KNOWN: [(&str, &str); 22] = [
    ("queue", "queue = \"mail\""),
    ("name", "name = \"send_welcome_mail\""),
    ("key", "key = customer_id"),
    ("cost", "cost = 5"),
    ("unique", "unique(by = account_id)"),
    ("max_retries", "max_retries = 3"),
    ("min_backoff", "min_backoff = \"15s\""),
    ("max_backoff", "max_backoff = \"2h\""),
    ("time_limit", "time_limit = \"10m\""),
    ("max_age", "max_age = \"7d\""),
    ("priority", "priority = \"high\""),
    ("cron", "cron = \"0 6 * * 1-5\""),
    ("timezone", "timezone = \"Europe/Berlin\""),
    ("overlap", "overlap = \"skip\""),
    ("catch_up", "catch_up = \"last\""),
    ("jitter", "jitter = \"30s\""),
    ("on_dead_letter", "on_dead_letter = report_failure"),
    ("retry_if", "retry_if = MyError::is_transient"),
    ("results", "results = \"1h\""),
    ("batch", batch::EXAMPLE),
    ("implements", "implements = tasks::process_video"),
    ("crate", "crate = my_crate::actor_core"),
];

const DURATION: &str = "a duration is a string with a unit";

/// Names that other libraries give an option, and ours.
const ELSEWHERE: [(&str, &str); 21] = [
    ("timeout", "time_limit"),
    ("max_attempts", "max_retries"),
    ("attempts", "max_retries"),
    ("backoff", "min_backoff"),
    ("expires", "max_age"),
    ("ttl", "max_age"),
    ("weight", "cost"),
    ("unique_by", "unique"),
    ("deduplicate", "unique"),
    ("debounce", "unique"),
    ("throttle", "unique"),
    ("group", "key"),
    ("partition_key", "key"),
    ("concurrency_key", "key"),
    ("schedule", "cron"),
    ("tz", "timezone"),
    ("on_failure", "on_dead_letter"),
    ("on_error", "on_dead_letter"),
    ("result_ttl", "results"),
    ("store_results", "results"),
    ("retention", "results"),
];

/// The options. One with an error is left out.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) queue: Option<Queue>,
    pub(crate) name: Option<LitStr>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) min_backoff: Option<Millis>,
    pub(crate) max_backoff: Option<Millis>,
    /// In milliseconds; `Some(None)` for `"none"`.
    pub(crate) time_limit: Option<Option<u64>>,
    pub(crate) max_age: Option<Option<u64>>,
    /// A variant of `Priority`.
    pub(crate) priority: Option<Ident>,
    /// Over the arguments.
    pub(crate) key: Option<Expr>,
    pub(crate) cost: Option<Expr>,
    pub(crate) cron: Option<LitStr>,
    pub(crate) timezone: Option<LitStr>,
    /// A variant of `Overlap`.
    pub(crate) overlap: Option<Ident>,
    /// A variant of `CatchUp`.
    pub(crate) catch_up: Option<Ident>,
    pub(crate) jitter: Option<Millis>,
    pub(crate) unique: Option<Unique>,
    pub(crate) on_dead_letter: Option<Path>,
    pub(crate) retry_if: Option<Expr>,
    /// In milliseconds.
    pub(crate) results: Option<u64>,
    pub(crate) batch: Option<Batch>,
    pub(crate) implements: Option<Path>,
    /// Where `actor_core` is, if not at `::actor_core`.
    pub(crate) krate: Option<Path>,
    /// Each option that was written, right or wrong.
    pub(crate) written: Vec<Ident>,
}

/// A queue by its name, or the path of its declaration.
pub(crate) enum Queue {
    Named(LitStr),
    Declared(Path),
}

/// Milliseconds, and the literal that they were read from.
pub(crate) struct Millis(pub(crate) u64, pub(crate) LitStr);

/// Reads the options. After an error it continues with the next one.
pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Args {
    let read = |input: ParseStream<'_>| {
        let mut args = Args::default();
        while !input.is_empty() {
            match read_option(input, errors) {
                Some((option, Value::Unique(unique))) => args.set_unique(&option, unique, errors),
                Some((option, Value::Expr(value))) => args.set(&option, value, errors),
                None => {}
            }
            skip_past_comma(input);
        }
        Ok(args)
    };
    // The closure itself never fails, and leaves nothing unread.
    read.parse2(tokens).unwrap_or_default()
}

/// What stands behind an option's name.
enum Value {
    Expr(Option<Expr>),
    Unique(Unique),
}

/// Reads `option = value`, up to the comma.
fn read_option(input: ParseStream<'_>, errors: &mut Errors) -> Option<(Ident, Value)> {
    let Ok(option) = input.call(Ident::parse_any) else {
        let odd: Option<TokenTree> = input.parse().ok();
        errors.add(odd, "an option is written `name = value`, as in `queue = \"mail\"`");
        return None;
    };
    let Some(example) = example(&option) else {
        let known = KNOWN.map(|(known, _)| known);
        let elsewhere = ELSEWHERE.iter().find(|(word, _)| option == word).map(|(_, known)| *known);
        let meant = elsewhere.or_else(|| nearest(&option.to_string(), known));
        let hint = meant.map(|word| format!(": did you mean `{word}`?")).unwrap_or_default();
        errors.add(&option, format!("there is no option `{option}`{hint}\nthe options are: {}", known.join(", ")));
        return None;
    };
    if option == "unique" {
        let unique = unique::parse(&option, input, errors);
        return Some((option, Value::Unique(unique)));
    }
    let assigned = |input: ParseStream<'_>| {
        input.parse::<Token![=]>().ok()?;
        let ahead = input.fork();
        let value = ahead.call(Expr::parse).ok()?;
        input.advance_to(&ahead);
        Some(bare(value))
    };
    let value = if option == "batch" { batch::parse(input) } else { assigned(input) };
    if value.is_none() {
        errors.add(&option, format!("this option is written `{example}`"));
    } else if !input.is_empty() && !input.peek(Token![,]) {
        let odd: Option<TokenTree> = input.parse().ok();
        errors.add(odd, "write a comma between two options");
    }
    Some((option, Value::Expr(value)))
}

/// A value without the invisible group that another macro put around it.
fn bare(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => bare(*group.expr),
        other => other,
    }
}

/// How an option is written.
fn example(option: &Ident) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| option == known).map(|(_, example)| *example)
}

fn skip_past_comma(input: ParseStream<'_>) {
    while !input.is_empty() {
        if input.parse::<Token![,]>().is_ok() || input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

impl Args {
    /// Whether an option is written for the first time.
    fn is_first(&mut self, option: &Ident, errors: &mut Errors) -> bool {
        if self.written.contains(option) {
            errors.add(option, format!("`{option}` is set twice: remove one"));
            return false;
        }
        self.written.push(option.clone());
        true
    }

    fn set_unique(&mut self, option: &Ident, unique: Unique, errors: &mut Errors) {
        if self.is_first(option, errors) {
            self.unique = Some(unique);
        }
    }

    fn set(&mut self, option: &Ident, value: Option<Expr>, errors: &mut Errors) {
        if !self.is_first(option, errors) {
            return;
        }
        if option == "batch" {
            // With an error in it, the function is still that of a batch.
            self.batch = Some(Batch::least(option));
        }
        let Some(value) = value else { return };
        match option.to_string().as_str() {
            "queue" => self.queue = queue(value, option, errors),
            "name" => self.name = checked_name(&value, option, errors),
            "max_retries" => self.max_retries = number(&value, errors),
            "min_backoff" => self.min_backoff = millis(&value, DURATION, option, errors),
            "max_backoff" => self.max_backoff = millis(&value, DURATION, option, errors),
            "time_limit" => self.time_limit = limit(&value, option, errors),
            "max_age" => self.max_age = limit(&value, option, errors),
            "priority" => self.priority = priority(&value, option, errors),
            "key" => self.key = Some(value),
            "cost" => self.cost = Some(value),
            "cron" => self.cron = checked(&value, "a pattern is a string literal", option, cron::pattern, errors),
            "timezone" => {
                self.timezone = checked(&value, "a time zone is a string literal", option, cron::timezone, errors);
            }
            "overlap" => {
                self.overlap = word(&value, "overlap", &[("allow", "Allow"), ("skip", "Skip")], option, errors);
            }
            "catch_up" => {
                let words = [("none", "None"), ("last", "Last"), ("all", "All")];
                self.catch_up = word(&value, "way to catch up", &words, option, errors);
            }
            "jitter" => self.jitter = millis(&value, DURATION, option, errors),
            "on_dead_letter" => self.on_dead_letter = path(value, "an actor", option, errors),
            "retry_if" => self.retry_if = function(value, errors),
            "results" => self.results = results(&value, option, errors),
            "batch" => self.batch = Some(batch::read(&value, option, errors)),
            "implements" => self.implements = path(value, "the declared actor", option, errors),
            "crate" => self.krate = path(value, "`actor_core`", option, errors),
            _ => {}
        }
    }
}

/// What the text of a string literal says, and the literal.
fn parsed<T>(
    value: &Expr,
    what: &str,
    option: &Ident,
    parse: impl FnOnce(&str) -> Result<T, String>,
    errors: &mut Errors,
) -> Option<(T, LitStr)> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else {
        errors.add(value, format!("{what}: write `{}`", example(option).unwrap_or_default()));
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

/// `"mail"`, or the `static` that declares the queue.
fn queue(value: Expr, option: &Ident, errors: &mut Errors) -> Option<Queue> {
    match value {
        Expr::Path(path) if path.qself.is_none() => Some(Queue::Declared(path.path)),
        value => {
            let what = "a queue is a string literal, or the path of its declaration";
            parsed(&value, what, option, name::check, errors).map(|((), text)| Queue::Named(text))
        }
    }
}

fn checked_name(value: &Expr, option: &Ident, errors: &mut Errors) -> Option<LitStr> {
    checked(value, "a name is a string literal", option, name::check, errors)
}

/// A string literal whose text passes a check.
fn checked(
    value: &Expr,
    what: &str,
    option: &Ident,
    check: impl FnOnce(&str) -> Result<(), String>,
    errors: &mut Errors,
) -> Option<LitStr> {
    parsed(value, what, option, check, errors).map(|((), text)| text)
}

fn number(value: &Expr, errors: &mut Errors) -> Option<u32> {
    if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = value
        && let Ok(number) = number.base10_parse()
    {
        return Some(number);
    }
    errors.add(value, "the number of retries is an integer from 0 to 4294967295: write `max_retries = 3`");
    None
}

fn millis(value: &Expr, what: &str, option: &Ident, errors: &mut Errors) -> Option<Millis> {
    parsed(value, what, option, duration::parse, errors).map(|(ms, text)| Millis(ms, text))
}

fn limit(value: &Expr, option: &Ident, errors: &mut Errors) -> Option<Option<u64>> {
    if matches!(value, Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if text.value() == "none") {
        return Some(None);
    }
    let what = "a duration is a string with a unit, or \"none\"";
    let Millis(ms, text) = millis(value, what, option, errors)?;
    if ms == 0 {
        errors.add(text, format!("no run fits into no time: write `{option} = \"none\"` for no limit"));
        return None;
    }
    Some(Some(ms))
}

/// For how long results are kept.
fn results(value: &Expr, option: &Ident, errors: &mut Errors) -> Option<u64> {
    let Millis(ms, text) = millis(value, DURATION, option, errors)?;
    if ms == 0 {
        errors.add(text, "nothing is kept for no time: write how long, as in `results = \"1h\"`, or remove the option");
        return None;
    }
    Some(ms)
}

fn priority(value: &Expr, option: &Ident, errors: &mut Errors) -> Option<Ident> {
    word(value, "priority", &[("high", "High"), ("normal", "Normal"), ("low", "Low")], option, errors)
}

/// The variant that a word stands for.
fn word(value: &Expr, what: &str, words: &[(&str, &str)], option: &Ident, errors: &mut Errors) -> Option<Ident> {
    let quoted: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let (last, others) = quoted.split_last()?;
    let all = format!("{} or {last}", others.join(", "));
    let variant = |text: &str| match words.iter().find(|(word, _)| *word == text) {
        Some((_, variant)) => Ok(*variant),
        None => Err(format!("there is no {what} `{text}`: write {all}")),
    };
    let article = if what.starts_with('o') { "an" } else { "a" };
    let (variant, _) = parsed(value, &format!("{article} {what} is {all}"), option, variant, errors)?;
    Some(Ident::new(variant, Span::call_site()))
}

fn function(value: Expr, errors: &mut Errors) -> Option<Expr> {
    match value {
        Expr::Path(_) | Expr::Closure(_) => Some(value),
        other => {
            errors.add(
                other,
                "write a function that takes the error: `retry_if = MyError::is_transient` or `retry_if = |error| ..`",
            );
            None
        }
    }
}

fn path(value: Expr, of: &str, option: &Ident, errors: &mut Errors) -> Option<Path> {
    match value {
        Expr::Path(path) if path.qself.is_none() => Some(path.path),
        other => {
            errors.add(other, format!("write the path of {of}: `{}`", example(option).unwrap_or_default()));
            None
        }
    }
}
