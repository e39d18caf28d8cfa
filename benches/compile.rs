//! What the macro costs its users: compile time and size of a crate with many actors, beside the same functions boxed
//! and put into a map by hand.
//!
//! `cargo bench --bench compile`. Both crates are in their own workspace, and all dependencies are built before the
//! first measurement. A crate is compiled as after a change of its file, without incremental state; the time cargo
//! takes when nothing has changed is subtracted.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use actor_bench::{Args, Figure, Pairs, Report, Result, Spread};
use serde_json::json;

/// As many as a large service has.
const ACTORS: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let args = Args::read()?;
    let report = Report::new(&args, "Compile time and size");
    let actors = if args.smoke { 3 } else { ACTORS };
    let workspace = Workspace::write(actors)?;
    let settings = json!({"actors": actors});
    let stages: &[(&str, &[&str])] = &[("check", &["check"]), ("release", &["build", "--release"])];
    // To see that it works, checking is enough.
    let stages = if args.smoke { &stages[..1] } else { stages };
    for (name, command) in stages.iter().filter(|(name, _)| args.wants(name)) {
        for krate in ["actors", "by-hand"] {
            workspace.cargo(krate, command)?;
        }
        let ours = async || workspace.compile("actors", command);
        let pairs = Pairs::run(&args, ours, async || workspace.compile("by-hand", command)).await?;
        let metric = format!("{name}/time");
        report.show(&Figure::beside(metric, "s", &pairs, |seconds| *seconds, "by hand", &settings));
    }
    if args.wants("size") && !args.smoke {
        // As much as one more actor adds to each crate.
        for (metric, file) in [("size/library", library as fn(&str) -> String), ("size/program", program)] {
            let [ours, by_hand] = ["actors", "by-hand"].map(|krate| workspace.size_each(krate, file, actors));
            let figure = Figure::single(metric, "bytes each", Spread::one(ours?), &settings);
            report.show(&figure.within("by hand", by_hand?));
        }
    }
    Ok(())
}

/// The generated crates: `actors` and `by-hand`, and each with a single actor.
struct Workspace(PathBuf);

impl Workspace {
    /// Always the same directory, so that dependencies are built only once.
    fn write(actors: usize) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile"));
        let core = root.join("actor-core");
        let dependencies = format!("actor-core = {{ path = {core:?} }}");
        workspace.write_crate("actors", &dependencies, &with_macro(actors), MACRO_MAIN)?;
        workspace.write_crate("actors-1", &dependencies, &with_macro(1), MACRO_MAIN)?;
        workspace.write_crate("by-hand", "serde_json = \"1\"", &by_hand(actors), HAND_MAIN)?;
        workspace.write_crate("by-hand-1", "serde_json = \"1\"", &by_hand(1), HAND_MAIN)?;
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"actors\", \"actors-1\", \"by-hand\", \"by-hand-1\"]\n\n\
                        [profile.release]\nstrip = true\n";
        fs::write(workspace.0.join("Cargo.toml"), manifest)?;
        // Uses the versions that are on this machine already.
        fs::copy(root.join("Cargo.lock"), workspace.0.join("Cargo.lock"))?;
        Ok(workspace)
    }

    fn write_crate(&self, name: &str, dependencies: &str, lib: &str, main: &str) -> Result {
        let source = self.0.join(name).join("src");
        fs::create_dir_all(&source)?;
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\n"
        );
        fs::write(self.0.join(name).join("Cargo.toml"), manifest)?;
        fs::write(source.join("lib.rs"), lib)?;
        Ok(fs::write(source.join("main.rs"), main.replace("LIBRARY", &name.replace('-', "_")))?)
    }

    /// Recompiles a library, and returns the seconds it took.
    fn compile(&self, krate: &str, command: &[&str]) -> Result<f64> {
        let lib = self.0.join(krate).join("src/lib.rs");
        fs::write(&lib, fs::read(&lib)?)?;
        Ok(self.cargo(krate, command)? - self.cargo(krate, command)?)
    }

    /// Runs cargo on a library, and returns the seconds it took.
    fn cargo(&self, krate: &str, command: &[&str]) -> Result<f64> {
        let began = Instant::now();
        self.run(command, &["--package", krate, "--lib"])?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// The bytes that each actor after the first adds to a file of a release build.
    fn size_each(&self, krate: &str, file: fn(&str) -> String, actors: usize) -> Result<f64> {
        let one = format!("{krate}-1");
        let mut sizes = Vec::new();
        for (krate, count) in [(krate, actors), (&one, 1)] {
            self.run(&["build", "--release"], &["--package", krate])?;
            let directory = self.0.join("target/release");
            let counted = Command::new(directory.join(program(krate))).output()?;
            if counted.stdout != format!("{count}\n").as_bytes() {
                return Err(format!("the program of {krate} does not have {count} functions").into());
            }
            sizes.push(fs::metadata(directory.join(file(krate)))?.len() as f64);
        }
        Ok((sizes[0] - sizes[1]) / (actors - 1) as f64)
    }

    fn run(&self, command: &[&str], what: &[&str]) -> Result {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(command).args(["--quiet", "--offline"]).args(what).current_dir(&self.0);
        cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_TARGET_DIR", self.0.join("target"));
        let status = cargo.status()?;
        if status.success() { Ok(()) } else { Err(format!("cargo {command:?} {what:?}: {status}").into()) }
    }
}

fn library(krate: &str) -> String {
    format!("lib{}.rlib", krate.replace('-', "_"))
}

fn program(krate: &str) -> String {
    format!("{krate}{}", std::env::consts::EXE_SUFFIX)
}

/// A function's parameters, names and types, and whether it may fail.
type Signature = (&'static [(&'static str, &'static str)], bool);

const SIGNATURES: [Signature; 4] = [
    (&[("id", "u64"), ("name", "String")], true),
    (&[("ids", "Vec<u64>"), ("urgent", "bool")], false),
    (&[("address", "String"), ("copies", "Option<u32>")], true),
    (&[("width", "u32"), ("height", "u32"), ("title", "String")], false),
];

/// A function whose emptiness the compiler cannot see.
fn function(n: usize) -> String {
    let (parameters, fails) = SIGNATURES[n % SIGNATURES.len()];
    let typed: Vec<_> = parameters.iter().map(|(name, of)| format!("{name}: {of}")).collect();
    let (returns, end) = if fails { (" -> Result<(), String>", "    Ok(())\n") } else { ("", "") };
    let (typed, names) = (typed.join(", "), names(n));
    format!("pub async fn work_{n}({typed}){returns} {{\n    std::hint::black_box(({names}));\n{end}}}\n\n")
}

fn names(n: usize) -> String {
    SIGNATURES[n % SIGNATURES.len()].0.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn with_macro(actors: usize) -> String {
    let mut text = "use actor_core::actor;\n\n".to_owned();
    for n in 0..actors {
        let _ = write!(text, "#[actor(queue = \"work\")]\n{}", function(n));
    }
    text
}

const MACRO_MAIN: &str = "\
use LIBRARY as _;

fn main() {
    println!(\"{}\", actor_core::registry::implementations().count());
}
";

fn by_hand(handlers: usize) -> String {
    let mut text = HAND_HEAD.to_owned();
    let mut inserts = String::new();
    for n in 0..handlers {
        let (parameters, fails) = SIGNATURES[n % SIGNATURES.len()];
        let types = parameters.iter().map(|(_, of)| *of).collect::<Vec<_>>().join(", ");
        let names = names(n);
        let run = if fails { "work.await" } else { "work.await;\n        Ok(())" };
        let _ = write!(
            text,
            "{}fn handle_{n}(body: &[u8]) -> Result<Running, serde_json::Error> {{\n    \
             let ({names}): ({types}) = serde_json::from_slice(body)?;\n    \
             let work = work_{n}({names});\n    \
             Ok(Box::pin(async move {{\n        {run}\n    }}))\n}}\n\n",
            function(n)
        );
        let _ = writeln!(inserts, "    handlers.insert(\"work_{n}\", Box::new(handle_{n}));");
    }
    text + "pub fn handlers() -> HashMap<&'static str, Handler> {\n    \
            let mut handlers: HashMap<&'static str, Handler> = HashMap::new();\n"
        + &inserts
        + "    handlers\n}\n"
}

const HAND_HEAD: &str = "\
use std::collections::HashMap;
use std::pin::Pin;

pub type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
pub type Handler = Box<dyn Fn(&[u8]) -> Result<Running, serde_json::Error> + Send + Sync>;

";

const HAND_MAIN: &str = "\
fn main() {
    println!(\"{}\", std::hint::black_box(LIBRARY::handlers()).len());
}
";
