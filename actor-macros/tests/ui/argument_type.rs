//! `send` takes exactly the declared types.
use actor_core::actor;

#[actor]
async fn welcome(to: String, times: u32) {
    let _ = (to, times);
}

fn main() {
    let _ = welcome.send("ada", 1);
    let _ = welcome.send("ada".to_owned());
    let _ = welcome.send_many([("ada".to_owned(), "once")]);
}
