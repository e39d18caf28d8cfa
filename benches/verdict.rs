//! The targets of this project, and whether they are met: `cargo bench --bench verdict`.
//!
//! Runs the other benchmarks for about ten minutes, and prints one line for each target, beside the floor of the same
//! run. It succeeds if everything could be measured; with `--strict`, only if every target is met too.
#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing the table is its purpose.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use actor_bench::{Figure, Result, collect, machine, number};
use lexopt::prelude::{Long, ValueExt};

use Limit::{AtLeast, AtMost};
use Of::{Ratio, Value};

const HELP: &str = "\
options, after `--`:
  --only NAME   measures only the lines whose figure begins so; may be repeated
  --pairs N     how many alternated pairs a figure is the median of (default: 5)
  --smoke       one pair with small numbers: checks the harness, measures nothing
  --strict      fails also if a target is missed
  --into FILE   also writes the table into this file, between the lines `<!-- verdict -->` and `<!-- end -->`";

/// The benchmarks, in the order in which they run.
const BENCHES: [&str; 4] = ["throughput", "latency", "footprint", "growth"];

/// A target.
struct Line {
    what: &'static str,
    /// The benchmark, and its figure.
    bench: &'static str,
    metric: &'static str,
    /// The number that is judged.
    of: Of,
    limit: Limit,
}

/// A number of a figure.
#[derive(Clone, Copy)]
enum Of {
    /// The figure itself.
    Value,
    /// Its ratio to the base.
    Ratio,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

const fn line(what: &'static str, bench: &'static str, metric: &'static str, of: Of, limit: Limit) -> Line {
    Line { what, bench, metric, of, limit }
}

/// The size of a body for which Redis's cost is measured, in bytes.
const BODY: f64 = 311.0;

#[rustfmt::skip] // A table.
const LINES: &[Line] = &[
    line("`send_many`", "throughput", "send_many/send", Ratio, AtLeast(0.85)),
    line("64 concurrent `send`", "throughput", "send_64/send", Ratio, AtLeast(0.85)),
    line("64 concurrent `send`, unique", "throughput", "unique_64/send", Ratio, AtLeast(0.5)),
    line("drain, default settings", "throughput", "drain_default/drain", Ratio, AtLeast(0.85)),
    line("drain, AOF everysec", "throughput", "aof_everysec_of_off/drain", Ratio, AtLeast(0.8)),
    line("drain, every message fails once", "throughput", "retries/drain", Ratio, AtLeast(0.3)),
    line("drain, all were scheduled and are due", "throughput", "scheduled/drain", Ratio, AtLeast(0.6)),
    line("drain, sync actor", "throughput", "sync_actor/drain", Ratio, AtLeast(0.5)),
    line("pairs of a message and the one that follows, against plain messages", "throughput", "chain/drain", Ratio, AtLeast(0.25)),
    line("drain, each returns a result, against none", "throughput", "results/drain", Ratio, AtLeast(0.5)),
    line("Redis CPU a message, each returns a result, against none", "throughput", "results/redis_cpu", Ratio, AtMost(2.5)),
    line("drain, 100 keys with limits, against none", "throughput", "limited_100/drain", Ratio, AtLeast(0.4)),
    line("Redis CPU a message, 100 keys with limits, against none", "throughput", "limited_100/redis_cpu", Ratio, AtMost(3.6)),
    line("Redis CPU a message, 100,000 keys of ten messages, against none", "throughput", "limited_many/redis_cpu", Ratio, AtMost(5.0)),
    line("rate of 1,000/s for a minute, 4 workers: error", "throughput", "rate_1000/error", Value, AtMost(1.0)),
    line("rate of 1,000/s for a minute, 4 workers: starts above the burst", "throughput", "rate_1000/above_burst", Value, AtMost(0.0)),
    line("Redis bytes a message that waits in a lane", "throughput", "limited_100/waiting_bytes", Value, AtMost(BODY * 1.3 + 100.0)),
    line("Redis CPU a message, 311-byte body", "throughput", "body_311/redis_cpu", Ratio, AtMost(1.12)),
    line("own CPU a message, draining", "throughput", "drain_default/drain_own_cpu", Ratio, AtMost(1.4)),
    line("send to start, idle, p50", "latency", "idle/p50", Ratio, AtMost(1.3)),
    line("send to start, idle, p99", "latency", "idle/p99", Value, AtMost(5.0)),
    line("send to start, half load, p99", "latency", "half_load/p99", Value, AtMost(10.0)),
    line("scheduled, idle, how late: p50", "latency", "scheduled_idle/p50", Value, AtMost(5.0)),
    line("scheduled, idle, how late: p99", "latency", "scheduled_idle/p99", Value, AtMost(50.0)),
    line("a slot freed to the key's next start, 1 worker, p50", "latency", "freed_slot_1/p50", Value, AtMost(2.0)),
    line("a slot freed to the key's next start, 1 worker, p99", "latency", "freed_slot_1/p99", Value, AtMost(10.0)),
    line("a slot freed to the key's next start, 2 workers, p50", "latency", "freed_slot_2/p50", Value, AtMost(2.0)),
    line("a slot freed to the key's next start, 2 workers, p99", "latency", "freed_slot_2/p99", Value, AtMost(10.0)),
    line("end of a run to the start of what follows, idle, p50", "latency", "follow_idle/p50", Value, AtMost(1.5)),
    line("end of a run to the start of what follows, idle, p99", "latency", "follow_idle/p99", Value, AtMost(10.0)),
    line("drain through 1 ms", "growth", "distance_1ms_drain/rate", Ratio, AtLeast(0.6)),
    line("CPU a message, 1 million ready", "growth", "ready_1m/cpu", Ratio, AtMost(1.1)),
    line("Redis bytes a ready message", "footprint", "ready_bytes/each", Value, AtMost(BODY * 1.2 + 40.0)),
    line("idle commands, 1 worker, each", "footprint", "idle_commands_1/each", Value, AtMost(3.0)),
    line("idle commands, 10 workers, each", "footprint", "idle_commands_10/each", Value, AtMost(3.0)),
    line("idle commands, 100 workers, each", "footprint", "idle_commands_100/each", Value, AtMost(3.0)),
    line("10,000 schedules: idle commands a second per worker and queue", "footprint", "schedules/each", Value, AtMost(3.2)),
    // Flat, within the allocator's variation.
    line("memory, slow actor, 1 million ready", "footprint", "memory_slow/last", Ratio, AtMost(1.05)),
];

/// What the command line asks for.
struct Options {
    only: Vec<String>,
    /// Options passed on to the other benchmarks.
    passed: Vec<String>,
    strict: bool,
    into: Option<PathBuf>,
}

fn main() -> Result {
    let options = Options::read()?;
    let lines: Vec<&Line> = LINES.iter().filter(|line| options.wants(line)).collect();
    if lines.is_empty() {
        return Err(format!("no such line\n{HELP}").into());
    }
    let mut figures = Vec::new();
    let mut failures = Vec::new();
    for bench in BENCHES {
        let of_bench = lines.iter().filter(|line| line.bench == bench);
        let scenarios: BTreeSet<&str> = of_bench.filter_map(|line| line.metric.split('/').next()).collect();
        if scenarios.is_empty() {
            continue;
        }
        let mut arguments = options.passed.clone();
        arguments.extend(scenarios.iter().flat_map(|scenario| ["--only".to_owned(), format!("{scenario}/")]));
        if let Err(error) = measure(bench, &arguments, &mut figures) {
            failures.push(error.to_string());
        }
    }
    let (table, met) = judge(&lines, &figures);
    println!("{table}");
    if let Some(path) = &options.into {
        insert(path, &table)?;
    }
    if !failures.is_empty() {
        return Err(failures.join("; ").into());
    }
    if options.strict && met < lines.len() {
        return Err("not every target is met".into());
    }
    Ok(())
}

/// Runs a benchmark, and prints its figures as they come.
fn measure(bench: &str, arguments: &[String], figures: &mut Vec<Figure>) -> Result {
    collect::figures(Path::new(env!("CARGO_MANIFEST_DIR")), bench, arguments, |figure| {
        eprintln!("{}: {} {}", figure.metric, number(figure.value), figure.unit);
        figures.push(figure);
    })
}

/// The table, and how many targets are met.
fn judge(lines: &[&Line], figures: &[Figure]) -> (String, usize) {
    let mut table = format!("On {}, by `cargo bench --bench verdict`:\n\n", machine());
    table += "| what | value | beside | ratio | target | verdict |\n|---|---|---|---|---|---|\n";
    let mut met = 0;
    for line in lines {
        let figure = figures.iter().find(|figure| figure.metric == line.metric);
        let verdict = match figure.and_then(|figure| line.number(figure)) {
            Some(number) if line.limit.holds(number) => {
                met += 1;
                "met"
            }
            Some(_) => "**missed**",
            None => "**not measured**",
        };
        let [value, beside, ratio] = figure.map(cells).unwrap_or_default();
        let _ =
            writeln!(table, "| {} | {value} | {beside} | {ratio} | {} | {verdict} |", line.what, line.target(figure));
    }
    let _ = write!(table, "\n{met} of {} met.", lines.len());
    if lines.len() < LINES.len() {
        let _ = write!(table, " {} others were not selected.", LINES.len() - lines.len());
    }
    (table, met)
}

/// A figure's value, its base, and their ratio with its range.
fn cells(figure: &Figure) -> [String; 3] {
    let value = with_unit(figure.value, &figure.unit);
    let Some(base) = &figure.base else { return [value, String::new(), String::new()] };
    let [low, high] = base.ratio_range;
    let beside = format!("{}: {}", base.name, with_unit(base.value, &figure.unit));
    // One digit more than the limits have, so that the verdict is visible.
    [value, beside, format!("{:.3} ({low:.2} to {high:.2})", base.ratio)]
}

fn with_unit(value: f64, unit: &str) -> String {
    // A rate's unit follows its number directly, any other after a space.
    let space = if unit.starts_with('/') { "" } else { " " };
    format!("{}{space}{unit}", number(value))
}

/// Replaces the text between the marks of a file.
fn insert(path: &Path, table: &str) -> Result {
    const MARKS: [&str; 2] = ["<!-- verdict -->\n", "<!-- end -->\n"];
    let page = std::fs::read_to_string(path)?;
    let parts = page.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} lacks the marks", path.display()))?;
    Ok(std::fs::write(path, format!("{before}{}\n{table}\n\n{}{after}", MARKS[0], MARKS[1]))?)
}

impl Line {
    fn number(&self, figure: &Figure) -> Option<f64> {
        match self.of {
            Value => Some(figure.value),
            Ratio => Some(figure.base.as_ref()?.ratio),
        }
    }

    fn target(&self, figure: Option<&Figure>) -> String {
        let (words, limit) = match self.limit {
            AtLeast(limit) => ("at least", limit),
            AtMost(limit) => ("at most", limit),
        };
        match (self.of, figure) {
            (Value, Some(figure)) => format!("{words} {}", with_unit(limit, &figure.unit)),
            (Value, None) => format!("{words} {}", number(limit)),
            (Ratio, _) => format!("{words} {limit} ×"),
        }
    }
}

impl Limit {
    fn holds(self, number: f64) -> bool {
        match self {
            AtLeast(limit) => number >= limit,
            AtMost(limit) => number <= limit,
        }
    }
}

impl Options {
    fn read() -> Result<Self> {
        let mut options = Self { only: Vec::new(), passed: Vec::new(), strict: false, into: None };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Long("only") => options.only.push(parser.value()?.string()?),
                Long("pairs") => options.passed.extend(["--pairs".to_owned(), parser.value()?.string()?]),
                Long("smoke") => options.passed.push("--smoke".to_owned()),
                Long("strict") => options.strict = true,
                Long("into") => options.into = Some(parser.value()?.into()),
                // Cargo passes it to every benchmark.
                Long("bench") => {}
                other => return Err(format!("{}\n{HELP}", other.unexpected()).into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, line: &Line) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| line.metric.starts_with(only.as_str()))
    }
}
