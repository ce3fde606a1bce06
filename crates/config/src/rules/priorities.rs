//! The rules between the nodes of one instance: who is the better one, and whether weights can change that.

use std::collections::BTreeMap;

use ::vrrp::Priority;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Track, TrackerKind};
use crate::path::Path;
use crate::read::{Document, InstanceDraft};
use crate::source::Source;

/// Priorities nearer than this have skews that differ by less than a busy host is late (RFC 9568 §6.1: Skew_Time is an interval
/// divided by 256 for each step).
const DISTANCE: u8 = 10;

/// Applies all of them.
pub(super) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    let views = &document.views;
    let mut nodes: BTreeMap<_, Vec<(&InstanceDraft, &str)>> = BTreeMap::new();
    for view in views {
        for draft in &view.instances {
            nodes.entry(&draft.name).or_default().push((draft, &view.node));
        }
    }
    for mut drafts in nodes.into_values() {
        // An instance that names one node means the others by its own keys; one that names several leaves none out, and the
        // file is being looked at elsewhere.
        let named = drafts.iter().filter(|(draft, _)| draft.overridden(source)).count();
        drafts.retain(|(draft, _)| named <= 1 || draft.overridden(source));
        // The highest first.
        drafts.sort_by_key(|(draft, _)| std::cmp::Reverse(draft.priority));
        for pair in drafts.windows(2) {
            if let [better, worse] = pair {
                near(*better, *worse, source, problems);
                weights(document, *better, *worse, source, problems);
            }
        }
        no_preemption(document, &drafts, source, problems);
        let mut seen: BTreeMap<_, (&InstanceDraft, &str)> = BTreeMap::new();
        for (draft, node) in drafts {
            if let Some(first) = seen.get(&draft.priority) {
                equal(*first, (draft, node), source, problems);
            } else {
                seen.insert(draft.priority, (draft, node));
            }
        }
    }
}

fn equal(
    (first, before): (&InstanceDraft, &str),
    (draft, node): (&InstanceDraft, &str),
    source: &Source,
    problems: &mut Problems,
) {
    let (at, there) = (draft.at(source, "priority"), first.at(source, "priority"));
    // Where no override has a priority, each node may have a file of its own.
    if at == there && at.parent().as_ref() == Some(draft.path()) {
        return;
    }
    let (name, priority) = (&draft.name, draft.priority);
    let message =
        format!("instance `{name}` has priority {priority} on `{before}` and on `{node}`");
    let problem = Problem::new(Code::EqualPriorities, message)
        .at(Spot::Value(at), format!("on `{node}`"))
        .also(Spot::Value(there), format!("on `{before}`"))
        .help("give the preferred node a higher priority, for instance 150 against 100");
    problems.push(problem);
}

/// Where the priority on this node stands, unless both nodes have the one that goes for all.
fn places(better: &InstanceDraft, worse: &InstanceDraft, source: &Source) -> Option<(Path, Path)> {
    let (high, low) = (better.at(source, "priority"), worse.at(source, "priority"));
    (high != low).then_some((high, low))
}

/// Different priorities whose takeover times hardly differ.
fn near(
    (better, high): (&InstanceDraft, &str),
    (worse, low): (&InstanceDraft, &str),
    source: &Source,
    problems: &mut Problems,
) {
    let distance = better.priority.value() - worse.priority.value();
    if distance == 0 || distance >= DISTANCE || better.priority == Priority::OWNER {
        return;
    }
    let Some((at, there)) = places(better, worse, source) else { return };
    let message = format!(
        "instance `{}` has priority {} on `{high}` and {} on `{low}`, which is near",
        better.name, better.priority, worse.priority
    );
    let problem = Problem::new(Code::NearPriorities, message)
        .at(Spot::Value(there), format!("on `{low}`"))
        .also(Spot::Value(at), format!("on `{high}`"))
        .help("keep them at least 10 apart, for instance 150 and 100");
    problems.push(problem);
}

/// The weighted entries that hold for an instance, each with its place: its own, those of its group, and those of the group's other
/// members, which a group shares.
fn weighted<'a>(
    document: &'a Document,
    draft: &'a InstanceDraft,
    node: &str,
    source: &Source,
) -> Vec<(Path, &'a Track)> {
    let of = |draft: &'a InstanceDraft| (draft.at(source, "track"), &draft.track);
    let mut lists = vec![of(draft)];
    let mut groups = document.vrrp.groups.iter();
    if let Some(group) = groups.find(|group| group.has(&draft.name)) {
        lists.push((group.path.key("track"), &group.track));
        let view = document.views.iter().find(|view| view.node == node);
        let others = view.into_iter().flat_map(|view| &view.instances);
        let others = others.filter(|one| one.name != draft.name);
        lists.extend(others.filter(|one| group.has(&one.name)).map(of));
    }
    let mut found: Vec<(Path, &Track)> = vec![];
    for (path, list) in lists {
        for (index, entry) in list.iter().filter(|(_, entry)| entry.weight.is_some()) {
            if !found.iter().any(|(_, one)| *one == entry) {
                found.push((path.item(*index).key("weight"), entry));
            }
        }
    }
    found
}

/// The least and the greatest priority that the weights make of a node's own; none where a file's number has no limit.
fn range(
    document: &Document,
    draft: &InstanceDraft,
    entries: &[(Path, &Track)],
) -> Option<(i32, i32)> {
    let own = i32::from(draft.priority.value());
    let (mut least, mut greatest) = (own, own);
    for (_, entry) in entries {
        let tracker = document.vrrp.trackers.get(&entry.tracker)?;
        if matches!(tracker.kind, TrackerKind::File { .. }) {
            return None;
        }
        let weight = i32::from(entry.weight.unwrap_or_default());
        least += weight.min(0);
        greatest += weight.max(0);
    }
    Some((least.clamp(1, 254), greatest.clamp(1, 254)))
}

/// Weights that leave the better node the better one, whatever happens.
fn weights(
    document: &Document,
    (better, high): (&InstanceDraft, &str),
    (worse, low): (&InstanceDraft, &str),
    source: &Source,
    problems: &mut Problems,
) {
    let (above, below) =
        (weighted(document, better, high, source), weighted(document, worse, low, source));
    let Some((place, _)) = above.first().or_else(|| below.first()) else { return };
    if better.priority == worse.priority || better.priority == Priority::OWNER {
        return;
    }
    let ranges = range(document, better, &above).zip(range(document, worse, &below));
    let Some(((least, _), (_, greatest))) = ranges else { return };
    if least < greatest {
        return;
    }
    let message = format!(
        "the weights of instance `{}` can't change who is active: `{high}` has {least} at least, `{low}` {greatest} at most",
        better.name
    );
    let mut problem = Problem::new(Code::WeightTooSmall, message)
        .at(Spot::Value(place.clone()), "")
        .help(format!(
            "use weights that add up to more than {}, or none: then a tracker that is down is a fault",
            i32::from(better.priority.value()) - i32::from(worse.priority.value())
        ));
    if let Some((at, there)) = places(better, worse, source) {
        problem = problem
            .also(Spot::Value(at), format!("on `{high}`"))
            .also(Spot::Value(there), format!("on `{low}`"));
    }
    problems.push(problem);
}

/// A weight makes another node the better one; whether it takes over is its `preempt`.
fn no_preemption(
    document: &Document,
    drafts: &[(&InstanceDraft, &str)],
    source: &Source,
    problems: &mut Problems,
) {
    let Some((waits, node)) = drafts.iter().find(|(draft, _)| !draft.preempt) else { return };
    let mut entries =
        drafts.iter().flat_map(|(draft, node)| weighted(document, draft, node, source));
    let Some((place, entry)) = entries.next() else { return };
    let message = format!(
        "with `preempt: false` on `{node}` the weight of tracker `{}` does less than it seems",
        entry.tracker
    );
    let problem = Problem::new(Code::WeightWithoutPreempt, message)
        .at(Spot::Value(place), "")
        .also(Spot::Value(waits.at(source, "preempt")), format!("on `{node}`"))
        .help("leave `weight` out, so that a tracker that is down is a fault, or remove `preempt: false`");
    problems.push(problem);
}
