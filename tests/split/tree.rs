//! The API must not compile what only the worker needs.

use std::collections::BTreeSet;
use std::process::Command;

/// The packages that are compiled into a package's own code.
fn packages(of: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", of, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_api_has_none_of_the_workers_own_dependencies() {
    let (api, worker, shared) = (packages("video-api"), packages("video-worker"), packages("video-tasks"));
    for own in ["video-worker", "sha2", "png", "tempfile"] {
        assert!(worker.contains(own), "{own} is not even the worker's: this test has lost its meaning");
        assert!(!api.contains(own), "{own} is compiled into the API");
    }
    assert!(shared.is_subset(&api) && shared.is_subset(&worker), "both depend on the declaration");
}

#[test]
fn the_declaration_needs_nothing_but_actor_core_and_what_its_types_need() {
    let direct: BTreeSet<String> = packages("video-tasks").into_iter().collect();
    for heavy in ["actor-redis", "redis", "axum", "sha2", "png", "tempfile", "tracing-subscriber"] {
        assert!(!direct.contains(heavy), "{heavy} is compiled into everything that sends");
    }
}
