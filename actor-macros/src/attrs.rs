//! The attributes of an actor's function, sorted by the item that gets them.

use syn::Attribute;

use crate::errors::Errors;

#[derive(Default)]
pub(crate) struct Attrs {
    /// For the unit struct.
    pub(crate) docs: Vec<Attribute>,
    /// For everything.
    pub(crate) cfgs: Vec<Attribute>,
    /// For the unit struct.
    pub(crate) deprecated: Vec<Attribute>,
    /// For everything, since the generated code names the same types as the function.
    pub(crate) allows: Vec<Attribute>,
    /// For the function.
    pub(crate) rest: Vec<Attribute>,
}

impl Attrs {
    pub(crate) fn sort(attrs: Vec<Attribute>) -> Self {
        let mut sorted = Self::default();
        for attr in attrs {
            let kind = attr.path().get_ident().map(ToString::to_string);
            let place = match kind.as_deref() {
                Some("doc") => &mut sorted.docs,
                Some("cfg") => &mut sorted.cfgs,
                Some("deprecated") => &mut sorted.deprecated,
                Some("allow") => &mut sorted.allows,
                _ => &mut sorted.rest,
            };
            place.push(attr);
        }
        sorted
    }

    /// Refuses a second `#[actor]`, and removes it.
    pub(crate) fn check(&mut self, errors: &mut Errors) {
        self.rest.retain(|attr| {
            let again = attr.path().segments.last().is_some_and(|last| last.ident == "actor");
            if again {
                errors.add(attr, "`#[actor]` is written twice: remove one");
            }
            !again
        });
    }
}
