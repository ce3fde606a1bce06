//! The key `vrrp`, but for its instances.

use super::shown::Shown;
use super::{Found, Impact, Pair, Sign, Subject, pairs};
use crate::model::{Group, InterfaceSettings, Tracker, TrackerKind, Vrrp};

pub(super) fn compare(old: &Vrrp, new: &Vrrp, found: &mut Found) {
    let Vrrp { startup_delay, trackers, groups, interfaces, hooks, fate } = old;
    found
        .of(Subject::Vrrp)
        // It counts from the daemon's start, which is over.
        .put("startup_delay", startup_delay, &new.startup_delay, Impact::None)
        .list("hooks", hooks, &new.hooks, Impact::None)
        .put("fate", fate, &new.fate, Impact::PeerMustMatch);
    for pair in pairs(trackers, &new.trackers) {
        compare_trackers(pair, found);
    }
    for pair in pairs(groups, &new.groups) {
        compare_groups(pair, found);
    }
    let names = interfaces.keys().chain(new.interfaces.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    for name in names {
        // One that is not named has no settings, which is what the default says.
        let old = interfaces.get(name).copied().unwrap_or_default();
        let new = new.interfaces.get(name).copied().unwrap_or_default();
        compare_interfaces(name, old, new, found);
    }
}

fn compare_trackers(pair: Pair<'_, Tracker>, found: &mut Found) {
    match pair {
        Pair::Added(tracker) => {
            let (subject, text) = (Subject::Tracker(tracker.name.clone()), tracker.kind.shown());
            found.whole(Sign::Add, subject, text, Impact::None);
        }
        Pair::Removed(tracker) => {
            let (subject, text) = (Subject::Tracker(tracker.name.clone()), tracker.kind.shown());
            found.whole(Sign::Remove, subject, text, Impact::None);
        }
        Pair::Changed(Tracker { name, kind }, new) => {
            let impact = match (kind, &new.kind) {
                // The session goes on: other intervals are agreed on by its own packets.
                (TrackerKind::Bfd(old), TrackerKind::Bfd(new)) if old.has_ends_of(new) => {
                    Impact::None
                }
                _ => Impact::Transition,
            };
            found.of(Subject::Tracker(name.clone())).put("kind", kind, &new.kind, impact);
        }
    }
}

fn compare_groups(pair: Pair<'_, Group>, found: &mut Found) {
    match pair {
        Pair::Added(group) => {
            let (subject, text) = (Subject::Group(group.name.clone()), group.instances.shown());
            found.whole(Sign::Add, subject, text, Impact::Transition);
        }
        Pair::Removed(group) => {
            let (subject, text) = (Subject::Group(group.name.clone()), group.instances.shown());
            found.whole(Sign::Remove, subject, text, Impact::Transition);
        }
        Pair::Changed(Group { name, instances, track, hooks }, new) => {
            found
                .of(Subject::Group(name.clone()))
                .put("instances", instances, &new.instances, Impact::Transition)
                .list("track", track, &new.track, Impact::Transition)
                .list("hooks", hooks, &new.hooks, Impact::None);
        }
    }
}

fn compare_interfaces(
    name: &str,
    old: InterfaceSettings,
    new: InterfaceSettings,
    found: &mut Found,
) {
    let InterfaceSettings { up_delay, down_delay, announce_interval } = old;
    found
        .of(Subject::Interface(name.to_owned()))
        .put("up_delay", &up_delay, &new.up_delay, Impact::None)
        .put("down_delay", &down_delay, &new.down_delay, Impact::None)
        .put("announce_interval", &announce_interval, &new.announce_interval, Impact::None);
}
