//! Puts a message's arguments in their places where its sender declares the actor differently.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::message::Message;
use crate::actor::ActorDef;
use crate::args::ABSENT;
use crate::call::RunError;
use crate::signature::{self, Arg, Fingerprint, NOTHING};

/// Of up to so many arguments, every order of any of them is found: there are 13,700 of seven. Of more, only the first
/// ones are found.
const MOST: usize = 7;

/// How many fingerprints are kept: they come with the messages, from anybody.
const MOST_KEPT: usize = 1_000;

/// How to read the arguments of each other declaration that was seen.
#[derive(Debug, Default)]
pub(crate) struct Arrangements(Mutex<HashMap<(&'static str, Fingerprint), Arrangement>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Arrangement {
    /// By position: they have other names, and these types.
    SameTypes,
    /// By name: for each argument of the message, its position in this worker's declaration.
    ByName(Arc<[usize]>),
    Unknown,
}

impl Arrangements {
    /// A message's arguments, as this worker's declaration of its actor has them.
    pub(super) fn arrange(&self, message: &Message<'_>, actor: &'static ActorDef) -> Result<Bytes, RunError> {
        let sent = || message.body.slice_ref(message.envelope.args.as_bytes());
        // Whether a value of another type fits is for the decoder to say.
        let Some(sig) = message.envelope.sig.filter(|sig| sig.names != actor.fingerprint.names) else {
            return Ok(sent());
        };
        let args = match self.of(actor, sig) {
            Arrangement::SameTypes => Some(sent()),
            Arrangement::ByName(order) => rearranged(message.envelope.args, &order, actor.args.len()),
            Arrangement::Unknown => None,
        };
        args.ok_or_else(|| refused(message.envelope.args, sig, actor))
    }

    fn of(&self, actor: &'static ActorDef, sig: Fingerprint) -> Arrangement {
        // Nothing panics while it is held.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&(actor.name, sig)) {
            return known.clone();
        }
        let found = find(actor.args, sig);
        if kept.len() < MOST_KEPT {
            kept.insert((actor.name, sig), found.clone());
        }
        found
    }
}

fn find(args: &[Arg], sig: Fingerprint) -> Arrangement {
    let mut order = Vec::new();
    if search(args, NOTHING, sig.names, &mut order) {
        return Arrangement::ByName(order.into());
    }
    // Renamed, and perhaps followed by new ones. Where not every order was tried, they may have changed places instead.
    let mut types = NOTHING;
    let ends_there = |arg: &Arg| {
        types = signature::and(types, arg.1);
        types == sig.types
    };
    if args.len() <= MOST && args.iter().any(ends_there) { Arrangement::SameTypes } else { Arrangement::Unknown }
}

/// Looks for an order of some of the arguments whose names have the hash `wanted`. Those in `order` have `hash`.
fn search(args: &[Arg], hash: u32, wanted: u32, order: &mut Vec<usize>) -> bool {
    if hash == wanted {
        return true;
    }
    let next = if args.len() <= MOST { 0..args.len() } else { order.len()..args.len().min(order.len() + 1) };
    for index in next {
        if order.contains(&index) {
            continue;
        }
        order.push(index);
        if search(args, signature::and(hash, args[index].0), wanted, order) {
            return true;
        }
        order.pop();
    }
    false
}

/// The arguments at their places among `count`; `None` where the message has others than its fingerprint says.
fn rearranged(args: &str, order: &[usize], count: usize) -> Option<Bytes> {
    let sent = elements(args).filter(|sent| sent.len() == order.len())?;
    let mut places = vec![ABSENT; count];
    for (value, index) in sent.iter().zip(order) {
        *places.get_mut(*index)? = value.get();
    }
    Some(format!("[{}]", places.join(",")).into())
}

fn elements(args: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(args).ok()
}

fn refused(args: &str, sig: Fingerprint, actor: &ActorDef) -> RunError {
    let (given, own, signature) = (elements(args).map_or(0, |sent| sent.len()), actor.fingerprint, actor.signature());
    RunError::OtherSignature(format!(
        "the sender declares other arguments: the message has {given}, with the fingerprint {sig}, and this worker's \
         actor takes `{signature}`, with the fingerprint {own}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [Arg; 3] = [("id", "Uuid"), ("width", "u32"), ("height", "u32")];

    fn by_name(order: &[usize]) -> Arrangement {
        Arrangement::ByName(order.into())
    }

    fn found(sent: &[Arg]) -> Arrangement {
        find(&OWN, Fingerprint::of(sent))
    }

    #[test]
    fn arguments_that_changed_places_or_are_fewer_are_found_by_their_names() {
        let [id, width, height] = OWN;
        assert_eq!(found(&[id, height, width]), by_name(&[0, 2, 1]));
        assert_eq!(found(&[height, id, width]), by_name(&[2, 0, 1]));
        assert_eq!(found(&[id, width]), by_name(&[0, 1]));
        assert_eq!(found(&[height]), by_name(&[2]));
        assert_eq!(found(&[]), by_name(&[]));
        assert_eq!(found(&[("height", "u64"), ("width", "u64")]), by_name(&[2, 1]), "with other types, too");
    }

    #[test]
    fn arguments_of_other_names_go_by_their_types() {
        assert_eq!(found(&[("key", "Uuid"), ("w", "u32"), ("h", "u32")]), Arrangement::SameTypes);
        assert_eq!(found(&[("key", "Uuid"), ("w", "u32")]), Arrangement::SameTypes);
        assert_eq!(found(&[("w", "u32"), ("key", "Uuid")]), Arrangement::Unknown);
        let [id, width, height] = OWN;
        assert_eq!(found(&[id, width, height, ("depth", "u32")]), Arrangement::Unknown);
    }

    #[test]
    fn of_many_arguments_the_first_are_found_and_no_search_is_long() {
        let names: Vec<String> = (0..40).map(|index| format!("a{index}")).collect();
        let args: Vec<Arg> = names.iter().map(|name| (&*name.clone().leak(), "u8")).collect();
        let mut swapped = args.clone();
        swapped.swap(0, 1);
        assert_eq!(find(&args, Fingerprint::of(&args[..3])), by_name(&[0, 1, 2]));
        assert_eq!(find(&args, Fingerprint::of(&swapped)), Arrangement::Unknown, "and no swap is taken for a new name");
        assert_eq!(find(&args, Fingerprint { names: 1, types: 2 }), Arrangement::Unknown);
    }

    #[test]
    fn each_argument_goes_to_its_place_as_it_was_written() {
        let text = |args, order: &[usize], count| rearranged(args, order, count).map(|bytes| bytes.to_vec());
        assert_eq!(text(r#"[ 1.50 , "],[" ]"#, &[2, 0], 3).unwrap(), br#"["],[",!,1.50]"#);
        assert_eq!(text("[]", &[], 1).unwrap(), b"[!]");
        assert_eq!(text("[1,2]", &[0], 1), None);
        assert_eq!(text(r#"{"a":1}"#, &[0], 1), None);
    }

    #[test]
    fn fingerprints_without_end_take_no_memory_without_end() {
        const DEF: &ActorDef = &ActorDef::new(
            "resize",
            &crate::Queue::new("images"),
            &OWN,
            crate::actor::Options::DEFAULT,
            crate::actor::Location::new("", "", "", "", 0),
            true,
        );
        let arrangements = Arrangements::default();
        for names in 0..2 * MOST_KEPT as u32 {
            assert_eq!(arrangements.of(DEF, Fingerprint { names, types: 1 }), Arrangement::Unknown);
        }
        assert_eq!(arrangements.0.lock().unwrap().len(), MOST_KEPT);
    }
}
