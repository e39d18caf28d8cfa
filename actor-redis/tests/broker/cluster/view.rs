//! What a member of a cluster knows of all of them.

use std::collections::BTreeMap;

/// What `CLUSTER NODES` says, without what differs from member to member though they agree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Each member by its id: its primary, and the slots that it serves.
    members: BTreeMap<String, (String, Vec<String>)>,
    /// How many slots somebody serves.
    served: usize,
    /// Whether each is reached, and nobody thinks that one has failed.
    is_sound: bool,
}

impl View {
    pub(super) fn read(nodes: &str) -> Self {
        let mut view = Self { members: BTreeMap::new(), served: 0, is_sound: true };
        for node in nodes.lines() {
            let words: Vec<_> = node.split(' ').collect();
            let [id, _, flags, primary, _, _, _, link, slots @ ..] = words.as_slice() else {
                view.is_sound = false;
                continue;
            };
            let is_member = |flag| matches!(flag, "myself" | "master" | "slave" | "nofailover");
            view.is_sound &= *link == "connected" && flags.split(',').all(is_member);
            // A slot that is migrated stands in brackets, once more.
            let slots: Vec<_> = slots.iter().filter(|slot| !slot.starts_with('[')).map(ToString::to_string).collect();
            view.served += slots.iter().filter_map(|range| count(range)).sum::<usize>();
            view.members.insert((*id).to_owned(), ((*primary).to_owned(), slots));
        }
        view
    }

    /// Whether it shows so many members, so many of them replicas, all reached, and who serves each of so many slots.
    pub(super) fn is_whole(&self, members: usize, replicas: usize, slots: usize) -> bool {
        let follow = self.members.values().filter(|(primary, _)| primary != "-").count();
        self.is_sound && (self.members.len(), follow, self.served) == (members, replicas, slots)
    }
}

/// How many slots a range has, written `5461-10922` or `5461`.
fn count(range: &str) -> Option<usize> {
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    Some(to.parse::<usize>().ok()? + 1 - from.parse::<usize>().ok()?)
}
