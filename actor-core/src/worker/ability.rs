//! What a worker must have to run a message: the name under which it is parked until one comes.

use super::outcome::Outcome;
use crate::actor::ActorDef;
use crate::call::RunError;
use crate::name;
use crate::signature::Fingerprint;
use crate::wire::{Envelope, VERSION};

/// What a message lacked where it ended so; `None` where no worker can ever have an actor of such a name.
///
/// A worker that parks a message never has this ability itself, or it would ask for the message at once.
pub(crate) fn lacked(ended: &Outcome, message: &Envelope<'_>) -> Option<String> {
    let actor = &message.actor;
    name::check(actor).ok()?;
    Some(match (ended, message.sig) {
        (Outcome::Failed(RunError::TooManyArguments { given, .. }), _) => of_count(actor, *given),
        (Outcome::Failed(RunError::OtherSignature(_)), Some(sig)) => of_signature(actor, sig),
        _ => of_actor(actor),
    })
}

/// To read this version of the format.
pub(crate) fn of_format(version: u64) -> String {
    format!("format:{version}")
}

/// All that a worker with these actors has.
pub(crate) fn of_worker<'a>(actors: impl IntoIterator<Item = &'a ActorDef>) -> Vec<String> {
    let formats = (1..=VERSION).map(|version| of_format(version.into()));
    let of_each = |def: &ActorDef| {
        [of_actor(def.name), of_count(def.name, def.args.len()), of_signature(def.name, def.fingerprint)]
    };
    let mut abilities: Vec<_> = actors.into_iter().flat_map(of_each).chain(formats).collect();
    abilities.sort_unstable();
    abilities
}

fn of_actor(actor: &str) -> String {
    format!("actor:{actor}")
}

/// To run this actor with so many arguments, none of them missing.
fn of_count(actor: &str, arguments: usize) -> String {
    format!("actor:{actor}/{arguments}")
}

/// To have the declaration of this actor that the sender has.
fn of_signature(actor: &str, sig: Fingerprint) -> String {
    format!("actor:{actor}#{sig}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Location, Options};

    #[test]
    fn what_a_worker_parks_it_does_not_ask_for_and_a_worker_that_can_run_it_does() {
        const fn resize(args: &'static [(&'static str, &'static str)]) -> ActorDef {
            const IMAGES: &crate::Queue = &crate::Queue::new("images");
            ActorDef::new("resize", IMAGES, args, Options::DEFAULT, Location::new("", "", "", "", 0), true)
        }
        const OLD: &ActorDef = &resize(&[("width", "u32")]);
        const NEW: &ActorDef = &resize(&[("height", "u32"), ("width", "u32")]);
        let sig = NEW.fingerprint;
        let body = format!(
            r#"{{"v":1,"id":"01912d68-783e-7a03-8467-5661c1243ad4","actor":"resize","queue":"images","args":[1,2],"sig":"{sig}"}}"#
        );
        let message = Envelope::decode(body.as_bytes()).unwrap();
        let too_many = Outcome::Failed(RunError::TooManyArguments { given: 2, taken: 1 });
        let other = Outcome::Failed(RunError::OtherSignature(String::new()));
        for (ended, old) in [(Outcome::UnknownActor, None), (too_many, Some(OLD)), (other, Some(OLD))] {
            let ability = lacked(&ended, &message).unwrap();
            assert!(!of_worker(old).contains(&ability), "{ability}");
            assert!(of_worker([NEW]).contains(&ability), "{ability}");
        }
    }
}
