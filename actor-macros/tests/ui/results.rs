use std::time::Duration;

use actor_core::actor;

#[actor(results = "0s")]
async fn for_no_time() -> Result<u64, String> {
    Ok(1)
}

#[actor(results = 3600)]
async fn a_number() -> Result<u64, String> {
    Ok(1)
}

#[actor(queue = "math")]
async fn kept_by_none() -> Result<u64, String> {
    Ok(1)
}

async fn waits() {
    let _ = kept_by_none.result("01912d68-783e-7a03-8467-5661c1243ad4".parse().unwrap(), Duration::ZERO).await;
    let _ = kept_by_none.send().await.unwrap().result(Duration::ZERO).await;
}

fn main() {}
