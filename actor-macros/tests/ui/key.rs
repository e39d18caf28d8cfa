//! A key is what the arguments make of it, and can be displayed. A cost is a number.
use actor_core::actor;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Tenant {
    pub id: u64,
}

#[actor(key = tenant)]
async fn not_displayed(tenant: Tenant) {
    drop(tenant);
}

#[actor(key = tenant.id, cost = "5")]
async fn text_cost(tenant: Tenant) {
    drop(tenant);
}

#[actor(cost = pages.len())]
async fn other_number(pages: Vec<String>) {
    drop(pages);
}

#[actor(key = user)]
async fn no_such_argument(account: u64) {
    let _ = account;
}

#[actor(key = name.into_boxed_str())]
async fn moved(name: String) {
    drop(name);
}

#[actor(key)]
async fn without_a_value() {}

#[actor(key = 1, key = 2)]
async fn twice() {}

mod tasks {
    #[actor_core::actor(key = id)]
    pub async fn declared(id: u64);
}

#[actor(implements = tasks::declared, key = id, cost = 2)]
async fn declared(id: u64) {
    let _ = id;
}

fn main() {}
