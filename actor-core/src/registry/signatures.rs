//! The linked actors' signatures as a text to commit, and what a change of it means for messages that are on their way.

use std::collections::{BTreeMap, BTreeSet};

use super::{actors, implementations};
use crate::causes::debug_as_shown;
use crate::signature::shown;

/// The signatures of all actors that are linked into this binary, one a line: the name, the queue and the arguments.
///
/// ```standalone_crate
/// # use actor_core::actor;
/// #[actor(queue = "mail")]
/// async fn welcome(to: &str, language: Option<String>) {
///     println!("welcome, {to} ({language:?})");
/// }
///
/// # fn main() {
/// let signatures = actor_core::registry::signatures();
/// assert_eq!(signatures, "welcome mail (to: String, language: Option<String>)\n");
/// # }
/// ```
#[must_use]
pub fn signatures() -> String {
    // An actor that is linked twice is one.
    let lines: BTreeSet<_> =
        actors().map(|def| format!("{} {} {}\n", def.name, def.queue.name(), def.signature())).collect();
    lines.into_iter().collect()
}

/// Checks that the linked actors have the signatures that were committed, so that a test finds what would strand
/// the messages of a deploy.
///
/// The file holds what [`signatures`] returns, and changes with the actors: any difference is an error. The error says
/// which differences break messages that were sent before, or that other services still send, and what the file must
/// hold from now on.
///
/// ```standalone_crate
/// # use actor_core::actor;
/// #[actor(queue = "mail")]
/// async fn welcome(to: &str, language: Option<String>) {
///     println!("welcome, {to} ({language:?})");
/// }
///
/// # fn main() {
/// // A test has `include_str!("../actors.txt")` here, and `.unwrap()`.
/// let committed = "welcome mail (to: String)\n";
/// let error = actor_core::registry::check_signatures(committed).unwrap_err();
/// assert!(!error.is_breaking(), "a message may lack a last argument that is an `Option`");
/// # }
/// ```
///
/// # Errors
///
/// The signatures differ: [`is_breaking`](SignatureError::is_breaking) says how badly.
pub fn check_signatures(committed: &str) -> Result<(), SignatureError> {
    let defaults: BTreeSet<_> = implementations()
        .flat_map(|found| found.defaults.iter().map(|argument| (found.actor.name.to_owned(), (*argument).to_owned())))
        .collect();
    compare(committed, signatures(), &defaults)
}

/// How the linked actors differ from the signatures that were committed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}\n{current}", summary(breaking))]
pub struct SignatureError {
    breaking: Vec<String>,
    current: String,
}

impl SignatureError {
    /// Whether messages of the former signatures can no longer be run as they were meant. Otherwise only the file is
    /// out of date.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        !self.breaking.is_empty()
    }
}

debug_as_shown!(SignatureError);

fn summary(breaking: &[String]) -> String {
    if breaking.is_empty() {
        return "the file of signatures is out of date, and no change breaks a message: write this to the file:"
            .to_owned();
    }
    let changes: String = breaking.iter().map(|change| format!("- {change}\n")).collect();
    format!(
        "messages that were sent before this change may no longer run as they were meant:\n{changes}once none of them \
         is left, or if none was ever sent, write this to the file of signatures:"
    )
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Signature<'a> {
    queue: &'a str,
    args: Vec<(&'a str, &'a str)>,
}

fn compare(committed: &str, current: String, defaults: &BTreeSet<(String, String)>) -> Result<(), SignatureError> {
    // Git may check the file out with other line ends.
    if committed.lines().eq(current.lines()) {
        return Ok(());
    }
    let now: BTreeMap<_, _> = current.lines().filter_map(parse).collect();
    let mut breaking = Vec::new();
    for line in committed.lines().filter(|line| !line.trim().is_empty()) {
        let Some((name, before)) = parse(line) else {
            breaking.push(format!("this line cannot be read: {line}"));
            continue;
        };
        let Some(now) = now.get(name) else {
            breaking.push(format!("actor `{name}` is gone. Is its crate linked here? `use its_crate as _;` links it"));
            continue;
        };
        let may_be_missing =
            |(arg, ty): (&str, &str)| is_option(ty) || defaults.contains(&(name.to_owned(), arg.to_owned()));
        let changes = changes(&before, now, may_be_missing);
        if !changes.is_empty() {
            let (before, now) = (shown(&before.args), shown(&now.args));
            breaking.push(format!("actor `{name}`, {before} before, {now} now: {}", changes.join("; ")));
        }
    }
    Err(SignatureError { breaking, current })
}

/// What breaks messages of the signature `before`.
fn changes(before: &Signature<'_>, now: &Signature<'_>, may_be_missing: impl Fn((&str, &str)) -> bool) -> Vec<String> {
    let mut changes = Vec::new();
    if before.queue != now.queue {
        let queue = before.queue;
        changes.push(format!("its queue was `{queue}`, which workers must `.also_serve(\"{queue}\")`"));
    }
    for (index, (name, ty)) in before.args.iter().enumerate() {
        match now.args.iter().position(|(known, _)| known == name) {
            None => changes.push(format!("argument {} is no longer called `{name}`", index + 1)),
            Some(at) if now.args[at].1 != *ty => changes.push(format!("`{name}` was of type `{ty}`")),
            Some(at) if at != index => changes.push(format!("`{name}` was argument {}", index + 1)),
            Some(_) => {}
        }
    }
    for (name, ty) in now.args.iter().skip(before.args.len()) {
        if !before.args.iter().any(|(known, _)| known == name) && !may_be_missing((name, ty)) {
            changes.push(format!(
                "`{name}` is new, and neither an `Option` nor marked `#[default]` where its body is linked"
            ));
        }
    }
    changes
}

fn parse(line: &str) -> Option<(&str, Signature<'_>)> {
    let (name, rest) = line.trim().split_once(' ')?;
    let (queue, args) = rest.split_once(' ')?;
    let args = args.strip_prefix('(')?.strip_suffix(')')?;
    let args = elements(args).map(|arg| arg.split_once(": ")).collect::<Option<_>>()?;
    Some((name, Signature { queue, args }))
}

/// What stands between the commas that are in no brackets.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut last) = (0_u32, ' ');
    let parts = text.split(move |c| {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            // The arrow of a function's type ends nothing.
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = c;
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn is_option(ty: &str) -> bool {
    ty.split('<').next().is_some_and(|path| path.rsplit("::").next() == Some("Option"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "resize images (id: Uuid, width: u32, height: u32)\nwelcome mail (to: String)\n";

    fn difference(current: &str) -> SignatureError {
        let defaults = BTreeSet::from([("resize".to_owned(), "crop".to_owned())]);
        compare(BEFORE, current.to_owned(), &defaults).unwrap_err()
    }

    /// What breaks where `resize` is declared with these arguments.
    fn breaks(args: &str) -> String {
        difference(&BEFORE.replace("(id: Uuid, width: u32, height: u32)", args)).breaking.join("\n")
    }

    #[test]
    fn what_is_the_same_is_no_difference() {
        let none = BTreeSet::new();
        assert_eq!(compare(BEFORE, BEFORE.to_owned(), &none), Ok(()));
        assert_eq!(compare(&BEFORE.replace('\n', "\r\n"), BEFORE.to_owned(), &none), Ok(()));
    }

    #[test]
    fn what_breaks_messages_is_listed_by_actor() {
        let head = "actor `resize`, (id: Uuid, width: u32, height: u32) before, ";
        for (args, expected) in [
            ("(id: Uuid, height: u32, width: u32)", "`width` was argument 2; `height` was argument 3"),
            ("(id: Uuid, width: u32)", "argument 3 is no longer called `height`"),
            ("(id: Uuid, width: u32, depth: u32)", "argument 3 is no longer called `height`"),
            ("(id: Uuid, width: u64, height: u32)", "`width` was of type `u32`"),
            (
                "(id: Uuid, width: u32, height: u32, unit: String)",
                "`unit` is new, and neither an `Option` nor marked `#[default]` where its body is linked",
            ),
        ] {
            assert_eq!(breaks(args), format!("{head}{args} now: {expected}"));
        }
        let moved = difference(&BEFORE.replace(" mail ", " letters ")).to_string();
        assert!(moved.contains("its queue was `mail`, which workers must `.also_serve(\"mail\")`"), "{moved}");
        let gone = difference("welcome mail (to: String)\n").to_string();
        assert!(gone.contains("actor `resize` is gone"), "{gone}");
        let end = "write this to the file of signatures:\nwelcome mail (to: String)\n";
        assert!(gone.ends_with(end), "{gone}");
    }

    #[test]
    fn what_may_be_missing_breaks_nothing_and_must_be_committed() {
        for args in [
            "(id: Uuid, width: u32, height: u32, unit: Option<String>)",
            "(id: Uuid, width: u32, height: u32, unit: std::option::Option<(u8, u8)>, crop: bool)",
        ] {
            assert_eq!(breaks(args), "");
        }
        let error = difference(&format!("{BEFORE}zip files ()\n"));
        assert!(!error.is_breaking());
        assert!(error.to_string().starts_with("the file of signatures is out of date"), "{error}");
    }

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let line = "a.b-c files (map: HashMap<String, (u8, [u8; 4])>, f: Either<fn(u8) -> u8, i8>, last: ::x::T)";
        let (name, signature) = parse(line).unwrap();
        assert_eq!((name, signature.queue), ("a.b-c", "files"));
        let args = [("map", "HashMap<String, (u8, [u8; 4])>"), ("f", "Either<fn(u8) -> u8, i8>"), ("last", "::x::T")];
        assert_eq!(signature.args, args);
        assert_eq!(parse("a files ()").unwrap().1.args, []);
        let odd = compare("no signature", BEFORE.to_owned(), &BTreeSet::new()).unwrap_err();
        assert!(odd.to_string().contains("this line cannot be read: no signature"), "{odd}");
    }
}
