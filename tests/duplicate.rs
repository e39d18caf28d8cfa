//! A program of two crates that declare or implement the same actor refuses to start, and names both places. Within one
//! crate the compiler refuses it: see `actor-macros/tests/ui`.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A workspace of four crates: a shared one, two that contradict each other, and a program that uses all.
const FILES: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        r#"[workspace]
resolver = "3"
members = ["tasks", "mail", "news", "program"]

[workspace.package]
version = "1.2.3"
edition = "2024"

[workspace.dependencies]
actor-core.path = "ACTOR_CORE"

# As in the workspace of the tests, so that what it has compiled is used again.
[profile.dev]
debug = "line-tables-only"
"#,
    ),
    (
        "tasks/Cargo.toml",
        r#"[package]
name = "tasks"
version.workspace = true
edition.workspace = true

[dependencies]
actor-core.workspace = true
"#,
    ),
    (
        "tasks/src/lib.rs",
        r#"use actor_core::actor;

#[actor(queue = "reports")]
pub async fn report(day: u32) -> Result<(), String>;
"#,
    ),
    (
        "mail/Cargo.toml",
        r#"[package]
name = "mail"
version.workspace = true
edition.workspace = true

[dependencies]
actor-core.workspace = true
tasks.path = "../tasks"
"#,
    ),
    (
        "mail/src/lib.rs",
        r#"use actor_core::actor;

#[actor(queue = "mail")]
pub async fn deliver(to: String) {
    drop(to);
}

#[actor(implements = tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
"#,
    ),
    (
        "news/Cargo.toml",
        r#"[package]
name = "news"
version = "4.5.6"
edition.workspace = true

[dependencies]
actor-core.workspace = true
tasks.path = "../tasks"
"#,
    ),
    (
        "news/src/lib.rs",
        r#"//! It begins some lines later.

use actor_core::actor;

#[actor(queue = "news")]
pub fn deliver(number: u8) {
    let _ = number;
}

#[actor(implements = tasks::report)]
async fn report(day: u32) -> Result<(), String> {
    Err(day.to_string())
}
"#,
    ),
    (
        "program/Cargo.toml",
        r#"[package]
name = "program"
version.workspace = true
edition.workspace = true

[dependencies]
actor-core.workspace = true
mail.path = "../mail"
news.path = "../news"
"#,
    ),
    (
        "program/src/main.rs",
        r#"use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use actor_core::{MemoryBroker, Worker, registry};
use {mail as _, news as _};

fn main() {
    println!("check:\n{}", registry::check().unwrap_err());
    println!("install:\n{}", actor_core::install(MemoryBroker::new()).unwrap_err());
    let worker = pin!(Worker::builder(MemoryBroker::new()).run_until(pending()));
    // The error comes before any wait.
    let Poll::Ready(Err(error)) = worker.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it started") };
    println!("worker:\n{error}");
}
"#,
    ),
];

const REFUSAL: &str = "\
actor `deliver` is declared twice:
  mail/src/lib.rs:4 (crate mail 1.2.3)
  news/src/lib.rs:6 (crate news 4.5.6)
actor `report` is implemented twice:
  mail/src/lib.rs:9 (crate mail 1.2.3)
  news/src/lib.rs:11 (crate news 4.5.6)
";

#[test]
fn a_program_of_two_crates_that_contradict_each_other_does_not_start_and_names_both_places() {
    let workspace = write_workspace();
    let output = Command::new(env!("CARGO"))
        // Everything needed was fetched and built with the tests.
        .args(["run", "--quiet", "--offline", "--package", "program"])
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let listed = REFUSAL.replace("actor ", "- actor ");
    let expected = format!("check:\n{REFUSAL}install:\n{REFUSAL}worker:\nthe worker cannot start:\n{listed}");
    assert_eq!(said, expected);
}

/// Always the same directory, so that it is built only once.
fn write_workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duplicate");
    let core = root.join("actor-core");
    for (path, text) in FILES {
        let (path, text) = (workspace.join(path), text.replace("ACTOR_CORE", core.to_str().unwrap()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if std::fs::read_to_string(&path).is_ok_and(|written| written == text) {
            continue;
        }
        std::fs::write(path, text).unwrap();
    }
    // Uses the versions that are on this machine already.
    std::fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
    workspace
}

/// Where this test was built.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}
