//! What a worker must have to run a message: the name under which it is parked until one comes.

use crate::name;
use crate::wire::VERSION;

/// To run this actor; `None` where no worker can ever have an actor of such a name.
pub(crate) fn of_actor(actor: &str) -> Option<String> {
    name::check(actor).is_ok().then(|| format!("actor:{actor}"))
}

/// To read this version of the format.
pub(crate) fn of_format(version: u64) -> String {
    format!("format:{version}")
}

/// All that a worker with these actors has.
pub(crate) fn of_worker<'a>(actors: impl IntoIterator<Item = &'a &'static str>) -> Vec<String> {
    let formats = (1..=VERSION).map(|version| of_format(version.into()));
    let mut abilities: Vec<_> = actors.into_iter().filter_map(|actor| of_actor(actor)).chain(formats).collect();
    abilities.sort_unstable();
    abilities
}
