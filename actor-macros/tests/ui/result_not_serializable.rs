use actor_core::actor;

struct Report {
    pages: u64,
}

#[actor(results = "1h")]
async fn report() -> Result<Report, String> {
    Ok(Report { pages: 1 })
}

fn main() {}
