//! Connections are authenticated again in time.

use super::{Evidence, Finding};

pub(super) fn none_kept(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::REPLACED);
    for (user, connections) in &evidence.replaced {
        finding.ask(*connections == 0, || format!("{connections} connections still have {user}"));
    }
    finding
}
