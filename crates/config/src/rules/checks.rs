//! The rules of checks that need something else of the configuration.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Check, CheckKind, Name, TrackerKind};
use crate::path::Path;
use crate::read::Document;
use crate::source::Source;
use crate::suggest;

/// Applies all of them.
pub(super) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    let trackers = &document.vrrp.trackers;
    let read = trackers.values().filter(|one| matches!(one.kind, TrackerKind::Bfd(_)));
    let sessions: BTreeSet<&Name> = read.map(|tracker| &tracker.name).collect();
    for (path, check) in checks(document, source) {
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
        let at = Spot::Value(path.key("bfd").key("session"));
        problems.push(Problem::new(Code::UnknownSession, message).at(at, label).help(help));
    }
}

/// Every check and where it stands.
fn checks<'a>(
    document: &'a Document,
    source: &'a Source,
) -> impl Iterator<Item = (Path, &'a Check)> {
    document.services.values().flat_map(move |draft| {
        let service = &draft.service;
        let owner = Path::of(&["services", service.name.as_str()]);
        let servers = service.real_servers.values().flat_map({
            let owner = owner.clone();
            move |server| {
                let owner = owner.key("real_servers").key(server.name.as_str());
                places(owner, server.checks.as_deref().unwrap_or_default(), source)
            }
        });
        places(owner, &service.checks, source).chain(servers)
    })
}

fn places<'a>(
    owner: Path,
    checks: &'a [Check],
    source: &'a Source,
) -> impl Iterator<Item = (Path, &'a Check)> {
    let single = owner.key("check");
    let is_single = source.has(&single);
    checks.iter().enumerate().map(move |(index, check)| {
        let path = if is_single { single.clone() } else { owner.key("checks").item(index) };
        (path, check)
    })
}
