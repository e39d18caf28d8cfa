use std::time::Duration;

use actor_core::actor;
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    pages: u64,
}

#[actor(results = "1h")]
async fn report() -> Result<Report, String> {
    Ok(Report { pages: 1 })
}

async fn waits() {
    let _ = report.send().await.unwrap().result(Duration::ZERO).await;
}

async fn waits_by_its_id() {
    let _ = report.result("01912d68-783e-7a03-8467-5661c1243ad4".parse().unwrap(), Duration::ZERO).await;
}

fn main() {}
