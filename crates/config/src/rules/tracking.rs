//! The rules of trackers and sync groups: names that are there, entries that do something.

use std::collections::{BTreeMap, BTreeSet};

use ::vrrp::Priority;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Name, Track, TrackerKind};
use crate::path::Path;
use crate::read::{Document, InstanceDraft};
use crate::reader::Items;
use crate::source::Source;
use crate::{suggest, text};

/// Applies all of them.
pub(super) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    let known: BTreeSet<_> = document.vrrp.tracker_names.iter().collect();
    let mut used = BTreeSet::new();
    for (path, track) in lists(document, source) {
        let mut seen = BTreeMap::new();
        for (index, entry) in track {
            let at = || Spot::Value(path.item(*index).key("tracker"));
            used.insert(&entry.tracker);
            if !known.contains(&entry.tracker) {
                problems.push(unknown(
                    Code::UnknownTracker,
                    "tracker",
                    &entry.tracker,
                    &known,
                    at(),
                ));
            }
            if let Some(first) = seen.insert(&entry.tracker, *index) {
                let message = format!("the tracker `{}` is twice in one list", entry.tracker);
                let problem = Problem::new(Code::DuplicateTrack, message)
                    .at(at(), "the second")
                    .also(Spot::Value(path.item(first).key("tracker")), "the first")
                    .help("keep one of them; a tracker has one weight");
                problems.push(problem);
            }
        }
    }
    for name in known.difference(&used) {
        // Its session serves whoever has its peer for an Active, without being named.
        let kind = document.vrrp.trackers.get(name).map(|tracker| &tracker.kind);
        if matches!(kind, Some(TrackerKind::Bfd(_))) {
            continue;
        }
        let problem =
            Problem::new(Code::UnusedTracker, format!("nobody uses the tracker `{name}`"))
                .at(Spot::Key(Path::of(&["vrrp", "trackers", name.as_str()])), "")
                .help("name it under `track` of an instance or group, or remove it");
        problems.push(problem);
    }
    for view in &document.views {
        for draft in &view.instances {
            owner(draft, source, problems);
            slow_interface(document, draft, source, problems);
            depends_on_peer(document, draft, source, problems);
        }
    }
    sessions(document, problems);
    groups(document, source, problems);
}

/// Every list of trackers and where it stands.
fn lists<'a>(
    document: &'a Document,
    source: &'a Source,
) -> impl Iterator<Item = (Path, &'a Items<Track>)> {
    let drafts = document.views.iter().flat_map(|view| &view.instances);
    let groups = document.vrrp.groups.iter();
    drafts
        .map(|draft| (draft.at(source, "track"), &draft.track))
        .chain(groups.map(|group| (group.path.key("track"), &group.track)))
}

fn unknown(code: Code, what: &str, name: &Name, known: &BTreeSet<&Name>, at: Spot) -> Problem {
    let names = || known.iter().map(|name| name.as_str());
    let nearest = suggest::nearest(name.as_str(), names());
    let label = nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"));
    // Hundreds of names would bury the message.
    let listed = suggest::list(names().take(12));
    let rest = known.len().saturating_sub(12);
    let more = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    Problem::new(code, format!("there is no {what} `{name}`"))
        .at(at, label)
        .help(format!("known: {listed}{more}"))
}

/// The owner's priority never changes (RFC 9568 §6.1).
fn owner(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.priority != Priority::OWNER || draft.track.is_empty() {
        return;
    }
    let message = format!("instance `{}` has priority 255, which no tracker changes", draft.name);
    let problem = Problem::new(Code::OwnerTracked, message)
        .at(Spot::Key(draft.at(source, "track")), "without effect")
        .also(Spot::Value(draft.at(source, "priority")), "the address owner's priority")
        .help("use a priority of at most 254");
    problems.push(problem);
}

/// A debounced interface that counts as up after the others have taken over.
fn slow_interface(
    document: &Document,
    draft: &InstanceDraft,
    source: &Source,
    problems: &mut Problems,
) {
    let (Some(name), Some(interval)) = (&draft.interface, draft.interval) else { return };
    let Some(settings) = document.vrrp.interfaces.get(name) else { return };
    let limit = interval.duration() * u32::from(draft.down_adverts.get() - 1);
    let delay = settings.down_delay;
    if delay.is_zero() || delay < limit {
        return;
    }
    let (delay, limit) = (text::short(delay), text::short(limit));
    let message = format!(
        "`{name}` counts as down after {delay}, when another node may have taken over from instance `{}`",
        draft.name
    );
    let path = Path::of(&["vrrp", "interfaces", name, "down_delay"]);
    let problem = Problem::new(Code::SlowInterface, message)
        .at(Spot::Value(path), "")
        .also(
            Spot::Value(draft.at(source, "interval")),
            format!("(`down_adverts` − 1) × `interval` is {limit}"),
        )
        .help(format!("choose less than {limit}, so that this node gives up first"));
    problems.push(problem);
}

/// A BFD session with the other node whose loss is a fault: when that node dies, this one takes no part. Only unicast peers are known
/// to be the other node.
fn depends_on_peer(
    document: &Document,
    draft: &InstanceDraft,
    source: &Source,
    problems: &mut Problems,
) {
    let peers = draft.unicast.iter().flat_map(|unicast| &unicast.peers);
    let peers: BTreeSet<_> = peers.map(|(_, peer)| peer.address).collect();
    for (index, entry) in &draft.track {
        let tracker = document.vrrp.trackers.get(&entry.tracker);
        let Some(TrackerKind::Bfd(session)) = tracker.map(|tracker| &tracker.kind) else {
            continue;
        };
        if entry.weight.is_some() || entry.reverse || !peers.contains(&session.peer) {
            continue;
        }
        let message = format!(
            "instance `{}` takes no part when its peer {} is dead",
            draft.name, session.peer
        );
        let problem = Problem::new(Code::PeerIsFault, message)
            .at(Spot::Value(draft.at(source, "track").item(*index)), "without a weight: a fault")
            .also(
                Spot::Key(draft.at(source, "unicast")),
                "the peer is another node of this instance",
            )
            .help("remove the entry: the session works for this instance without it");
        problems.push(problem);
    }
}

/// RFC 5881 §3: one session between two systems over an interface.
fn sessions(document: &Document, problems: &mut Problems) {
    let mut seen = BTreeMap::new();
    for tracker in document.vrrp.trackers.values() {
        let TrackerKind::Bfd(session) = &tracker.kind else { continue };
        let path = |name: &Name| {
            let path = Path::of(&["vrrp", "trackers", name.as_str()]);
            Spot::Value(path.key("bfd").key("peer"))
        };
        let key = (session.peer, session.interface.as_deref());
        if let Some(first) = seen.insert(key, &tracker.name) {
            let message = format!("two BFD sessions with {}", session.peer);
            let problem = Problem::new(Code::DuplicateSession, message)
                .at(path(&tracker.name), "")
                .also(path(first), "")
                .help("keep one tracker; several instances can name it");
            problems.push(problem);
        }
    }
}

/// The instances of groups.
fn groups(document: &Document, source: &Source, problems: &mut Problems) {
    let instances = document.views.first().map(|view| view.instances.as_slice());
    let instances = instances.unwrap_or_default();
    let mut known: BTreeSet<_> = instances.iter().map(|draft| &draft.name).collect();
    // One whose value can't be read at all is reported there and not missing here.
    let unread = Path::of(&["vrrp", "instances"]);
    let mut grouped: BTreeMap<&Name, Path> = BTreeMap::new();
    for group in &document.vrrp.groups {
        let mut members = BTreeSet::new();
        for (index, name) in &group.instances {
            let path = group.path.key("instances").item(*index);
            if source.has(&unread.key(name.as_str())) {
                known.insert(name);
            } else {
                let at = Spot::Value(path.clone());
                problems.push(unknown(Code::UnknownInstance, "instance", name, &known, at));
            }
            members.insert(name);
            if let Some(first) = grouped.insert(name, path.clone()) {
                let message = format!("instance `{name}` is in a group already");
                let problem = Problem::new(Code::InstanceInTwoGroups, message)
                    .at(Spot::Value(path), "")
                    .also(Spot::Value(first), "")
                    .help("an instance is in one group, once; join the two groups");
                problems.push(problem);
            }
        }
        if members.len() < 2 && source.has(&group.path.key("instances")) {
            let message = format!("the group `{}` keeps nothing together", group.name);
            let problem = Problem::new(Code::SmallGroup, message)
                .at(Spot::Value(group.path.key("instances")), "")
                .help("name at least two instances, or remove the group");
            problems.push(problem);
        }
    }
}
