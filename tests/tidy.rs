//! The rules of this repository that no lint knows.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A file holds one idea, which fits here.
const LONGEST_FILE: usize = 400;

/// A crate's root is its table of contents.
const LONGEST_ROOT: usize = 120;

/// Names for files without a subject.
const DRAWERS: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "misc", "prelude"];

/// Markers of unfinished or skipped work, in parts, so that this file does not find itself.
const UNFINISHED: [&str; 5] = [
    concat!("#[", "ignore"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("TO", "DO"),
];

#[test]
fn no_file_is_longer_than_one_idea() {
    let too_long = sources().filter_map(|(path, text)| {
        let lines = text.lines().count();
        let is_root = path.file_name().is_some_and(|name| name == "lib.rs");
        let longest = if is_root { LONGEST_ROOT } else { LONGEST_FILE };
        (lines > longest).then(|| format!("{} has {lines} lines, and at most {longest} are allowed", path.display()))
    });
    assert_none(too_long);
}

#[test]
fn no_file_is_a_drawer() {
    let drawers = sources().filter_map(|(path, _)| {
        let name = path.with_extension("").file_name()?.to_str()?.to_owned();
        DRAWERS.contains(&name.as_str()).then(|| format!("{}: name it by its subject", path.display()))
    });
    assert_none(drawers);
}

#[test]
fn nothing_is_unfinished_or_skipped() {
    let found = sources().flat_map(|(path, text)| {
        let lines = text.lines().enumerate().filter_map(|(at, line)| {
            let what = UNFINISHED.iter().find(|what| line.contains(**what))?;
            Some(format!("{}:{}: {what}", path.display(), at + 1))
        });
        lines.collect::<Vec<_>>()
    });
    assert_none(found);
}

#[test]
fn every_script_says_what_it_takes_and_returns() {
    let bare = sources().filter(|(path, _)| is(path, "lua")).filter_map(|(path, text)| {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        let says = |word: &str| header.iter().any(|line| line.starts_with(&format!("-- {word}")));
        let missing: Vec<_> = ["KEYS", "ARGV", "Returns"].into_iter().filter(|word| !says(word)).collect();
        (!missing.is_empty()).then(|| format!("{}: its header lacks {missing:?}", path.display()))
    });
    assert_none(bare);
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let path = root().join("docs/guarantees.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let functions = functions();
    // The files that list scenarios and failpoints.
    let played = [
        "tests/chaos/src/scenarios.rs",
        "tests/chaos/src/scenarios/replicated.rs",
        "actor-core/src/failpoint.rs",
        "actor-redis/src/failpoint.rs",
    ]
        .map(|path| fs::read_to_string(root().join(path)).unwrap())
        .concat();
    let (mut promises, mut broken) = (0, Vec::new());
    for (at, line) in page.lines().enumerate() {
        let Some(row) = line.strip_prefix('|').filter(|_| is_promise(&page, at)) else { continue };
        promises += 1;
        // Markdown drops an extra cell, which would be the proof.
        let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split('|').collect();
        let [_, breakers, proof] = cells[..] else {
            broken.push(format!("line {}: {} cells instead of three", at + 1, cells.len()));
            continue;
        };
        for name in breakers.split('`').skip(1).step_by(2) {
            if !played.contains(&format!("\"{name}\"")) {
                broken.push(format!("line {}: there is no scenario or failpoint {name}", at + 1));
            }
        }
        // The text between every other pair of backticks.
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            broken.push(format!("line {}: no test is named", at + 1));
        }
        for name in names {
            if !functions.contains(name.rsplit("::").next().unwrap_or(name)) {
                broken.push(format!("line {}: there is no test {name}", at + 1));
            }
        }
    }
    assert!(promises > 20, "only {promises} promises were found: is it still a table?");
    assert_none(broken.into_iter());
}

#[test]
fn every_event_is_documented() {
    let page = fs::read_to_string(root().join("docs/observability.md")).unwrap();
    // The page may omit the end of a text.
    let known: Vec<&str> =
        page.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches([' ', '.', ':'])).collect();
    let (mut events, mut unknown) = (0, Vec::new());
    let of_crates =
        |path: &Path| ["actor-core/src", "actor-redis/src"].iter().any(|directory| path.starts_with(directory));
    for (path, text) in sources().filter(|(path, _)| of_crates(path)) {
        for level in ["error", "warn", "info", "debug"] {
            for event in text.split(&format!("tracing::{level}!(")).skip(1) {
                // No field's value is a literal text.
                let Some(name) = event.split('"').nth(1) else { continue };
                events += 1;
                let is_known = |known: &&str| known.len() > 3 && name.starts_with(known);
                if !known.iter().any(is_known) {
                    unknown.push(format!("{}: {name:?} is not in docs/observability.md", path.display()));
                }
            }
        }
    }
    assert!(events > 20, "only {events} events were found");
    assert_none(unknown.into_iter());
}

#[test]
fn every_option_of_an_actor_is_documented() {
    let known = fs::read_to_string(root().join("actor-macros/src/args.rs")).unwrap();
    let table = known.split("const KNOWN").nth(1).and_then(|after| after.split("];").next()).unwrap();
    let options: Vec<&str> =
        table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(options.len() > 5, "only {options:?} were found");
    let pages = ["docs/actor-options.md", "actor-macros/src/actor.md"];
    let missing = pages.into_iter().flat_map(|page| {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let rows: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("| `")?.split([' ', '`', '(']).next()).collect();
        let is_missing = |option: &&&str| !rows.contains(**option);
        options.iter().filter(is_missing).map(|option| format!("{page}: no row of `{option}`")).collect::<Vec<_>>()
    });
    assert_none(missing);
}

#[test]
fn every_failpoint_is_passed_in_one_place() {
    let (mut listed, mut passed, mut requests) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (path, text) in
        sources().filter(|(path, _)| path.starts_with("actor-core/src") || path.starts_with("actor-redis/src"))
    {
        if path.ends_with("failpoint.rs") {
            let lines = text.lines().map(str::trim);
            let names = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix("\","));
            listed.extend(names.map(str::to_owned));
            continue;
        }
        let names = text.split("pass(\"").skip(1).filter_map(|after| after.split('"').next());
        passed.extend(names.map(str::to_owned));
        // A request's name may be chosen where it is made. That each has its points is asserted where they are passed.
        if text.contains("Request::") || text.contains("Spread {") {
            requests.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let of_request = |name: &str| {
        let (request, place) = name.split_once('.')?;
        (requests.contains(request) && ["unsent", "half", "answered"].contains(&place)).then_some(1)
    };
    let places =
        |name: &String| of_request(name).unwrap_or_else(|| passed.iter().filter(|found| *found == name).count());
    let wrong =
        listed.iter().filter(|name| places(name) != 1).map(|name| format!("{name}: passed {} times", places(name)));
    let twice = listed.iter().filter(|name| listed.iter().filter(|other| other == name).count() > 1);
    let unlisted = passed.iter().filter(|name| !listed.contains(name));
    assert_none(
        wrong
            .chain(twice.map(|name| format!("{name}: listed twice")))
            .chain(unlisted.map(|name| format!("{name}: passed, and not in POINTS"))),
    );
}

/// Whether a line is a row of a table, below its head and the rule.
fn is_promise(page: &str, at: usize) -> bool {
    let is_rule = |at: usize| page.lines().nth(at).is_some_and(|line| line.starts_with("|--"));
    !is_rule(at) && !is_rule(at + 1)
}

/// The name of every function. Running the tests shows which are tests.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in sources() {
        for line in text.lines().map(str::trim_start) {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(after) = line.strip_prefix("fn ") {
                names.insert(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    names
}

/// Every Rust and Lua file of the repository, with its path from the root.
fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    assert!(paths.len() > 100, "only {} files were found", paths.len());
    paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(root()).unwrap_or(&path).to_owned(), text)
    })
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        // Skips what is built, hidden or never committed.
        if name == "target" || name == "wip" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&path, paths);
        } else if is(&path, "rs") || is(&path, "lua") {
            paths.push(path);
        }
    }
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(mut found: impl Iterator<Item = String>) {
    let Some(first) = found.next() else { return };
    let rest = found.fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n{line}");
        text
    });
    panic!("\n{first}{rest}");
}
