//! The rules of checks that need something else of the configuration.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{CheckKind, Name, TrackerKind};
use crate::read::Document;
use crate::source::Source;
use crate::suggest;
use crate::whereabouts::checks;

/// Applies all of them.
pub(super) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    let trackers = &document.vrrp.trackers;
    let read = trackers.values().filter(|one| matches!(one.kind, TrackerKind::Bfd(_)));
    let sessions: BTreeSet<&Name> = read.map(|tracker| &tracker.name).collect();
    for (place, check) in checks(document.services.values().map(|draft| &draft.service)) {
        let CheckKind::Bfd { session } = &check.kind else { continue };
        // A tracker that can't be read is reported there.
        let unread =
            document.vrrp.tracker_names.contains(session) && !trackers.contains_key(session);
        if sessions.contains(session) || unread {
            continue;
        }
        let message = match trackers.contains_key(session) {
            true => format!("the tracker `{session}` is no BFD session"),
            false => format!("there is no BFD session `{session}`"),
        };
        let names = || sessions.iter().map(|name| name.as_str());
        let nearest = suggest::nearest(session.as_str(), names());
        let label = nearest.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        let known = suggest::list(names().take(12));
        let help = match sessions.is_empty() {
            true => "add a tracker: `vrrp: {trackers: {rack2: {bfd: {peer: 192.0.2.2}}}}`".into(),
            false => format!("known: {known}"),
        };
        let at = Spot::Value(place.path(source).key("bfd").key("session"));
        problems.push(Problem::new(Code::UnknownSession, message).at(at, label).help(help));
    }
}
