use actor_core::actor;

#[actor(unique = "account")]
async fn assigned(_account: u64) {}

#[actor(unique(by))]
async fn no_value(_account: u64) {}

#[actor(unique(untill = "done"))]
async fn misspelt(_account: u64) {}

#[actor(unique(until = "finished"))]
async fn no_such_end(_account: u64) {}

#[actor(unique(until = 10))]
async fn no_text(_account: u64) {}

#[actor(unique(on_conflict = "drop"))]
async fn no_such_conflict(_account: u64) {}

#[actor(unique(until = "10m", on_conflict = "replace"))]
async fn replaced_in_a_window(_account: u64) {}

#[actor(unique(on_conflict = "replace", max_wait = "1h"))]
async fn waits_without_postponing(_account: u64) {}

#[actor(unique(by = _account by = _account))]
async fn no_comma(_account: u64) {}

#[actor(unique(until = "done", until = "started"))]
async fn twice(_account: u64) {}

#[actor(unique, unique)]
async fn unique_twice(_account: u64) {}

fn main() {}
