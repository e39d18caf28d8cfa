//! What API and worker agree on, as it was deployed last.

use actor_core::registry;
use video_tasks as _;

#[test]
fn no_change_of_an_actor_strands_messages_that_are_on_their_way() {
    registry::check_signatures(include_str!("../actors.txt")).unwrap();
}
